"""Lines of MetaImage and NRRD headers that place and scale the voxels and hold no numbers that readers understand.

ITK refuses such a header without saying which line it is, or reads a part of it: of a decimal comma only what stands
before it, and of three numbers those that are there.
"""

from __future__ import annotations

import re
from typing import Final

OF_LENGTHS: Final = (b"ElementSpacing", b"ElementSize", b"Offset", b"Position", b"Origin")  # one number per dimension
OF_AXES: Final = (b"TransformMatrix", b"Rotation", b"Orientation")  # one vector per dimension
META_LINE: Final = re.compile(rb"^(" + b"|".join((*OF_LENGTHS, *OF_AXES)) + rb") *= *(.*?) *\r?$", re.MULTILINE)
DIMENSIONS: Final = re.compile(rb"^(?:NDims *=|dimension *:) *([1-9])", re.MULTILINE)
NRRD_LINE: Final = re.compile(rb"^(spacings) *: *(.*?) *\r?$", re.MULTILINE)
SCALING: Final = re.compile(rb"^ElementToIntensityFunction(Slope|Offset) *= *(\S+)", re.MULTILINE)
NEUTRAL: Final = {b"Slope": 1.0, b"Offset": 0.0}
# Spaces of NRRD that say where the patient's left is; teem knows two forms of each name.
OF_PATIENTS: Final = re.compile(
    rb"^space: *(left-(posterior|anterior)-superior|right-anterior-superior|L[PA]S|RAS)\b", re.MULTILINE | re.IGNORECASE
)
SPACE: Final = re.compile(rb"^space: *([^\r\n]*)", re.MULTILINE)
ENCODING: Final = re.compile(rb"^encoding: *(\w+)", re.MULTILINE)
NOT_READ: Final = {b"bzip2", b"bz2"}  # by ITK, whose NRRD library is built without it
OTHER_SPACE: Final = re.compile(rb"(left|right)-(posterior|anterior)-(superior|inferior)|[LR][PA][SI]", re.IGNORECASE)
META_AXES: Final = re.compile(rb"^(" + b"|".join(OF_AXES) + rb") *=", re.MULTILINE)
SPACINGS: Final = (b"ElementSpacing", b"ElementSize", b"spacings")


def unread_numbers(head: bytes) -> str:
    """The first line that places voxels and does not hold its numbers, and why; empty where all do.

    Args:
        head: the text of a header.
    """
    dimensions = DIMENSIONS.search(head)
    each = int(dimensions[1]) if dimensions else 3
    for keyword, said in (NRRD_LINE if head.startswith(b"NRRD") else META_LINE).findall(head):
        count = each**2 if keyword in OF_AXES else each
        numbers = [_number(word) for word in said.split()]
        if b"," in said:
            why = "is written with a decimal comma"
        elif None in numbers or len(numbers) != count:
            why = f"does not hold {count} numbers"
        elif keyword in SPACINGS and 0.0 in numbers:
            why = "holds a length of zero"
        else:
            continue
        return f"{keyword.decode()} {why} ({said[:60].decode('latin-1')})"
    return ""


def unread_form(head: bytes) -> str:
    """What ITK does not read of NRRD, whatever the state of the file; empty where there is no such thing."""
    if not head.startswith(b"NRRD"):
        return ""
    encoding, space = ENCODING.search(head), SPACE.search(head)
    if encoding and encoding[1].lower() in NOT_READ:
        return f"its encoding {encoding[1].decode('latin-1')} is not read here: write it as gzip or raw"
    if space and OTHER_SPACE.fullmatch(space[1].strip()) and not OF_PATIENTS.search(head):
        said = space[1].strip().decode("latin-1")
        return f"its space {said} is not read here: write it in left-posterior-superior or right-anterior-superior"
    return ""


def unsaid_axes(head: bytes) -> str:
    """That a header does not say how its axes lie in the patient; empty where it does."""
    if head.startswith(b"NRRD"):
        if OF_PATIENTS.search(head):
            return ""
        what = "no space of a patient (as left-posterior-superior)"
    elif META_AXES.search(head):
        return ""
    else:
        what = "no TransformMatrix"
    return (
        f"the header names {what}: axes to the left, to the back and to the head assumed, left and right are not said"
    )


def unused_scaling(head: bytes) -> str:
    """A slope or offset of MetaImage that would change the values, which ITK does not apply; empty where none is."""
    other = [
        f"ElementToIntensityFunction{name.decode()} is {said.decode('latin-1')}"
        for name, said in SCALING.findall(head)
        if _number(said) != NEUTRAL[name]
    ]
    return f"{' and '.join(other)}: not applied, values taken as they are stored" if other else ""


def _number(word: bytes) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
