"""A stack of grey pictures (PNG, JPEG, TIFF, BMP) as a volume, only with what the pictures themselves cannot say.

Pictures hold neither HU nor millimetres: the caller states the spacing, and which HU black and white stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ipdsf_spark.ct.native import is_whole_jpeg, overheard, require_utf8
from ipdsf_spark.ct.volume import Grid, Problem, Source, Volume, hu_array, joined
from ipdsf_spark.errors import InputError

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MAX_PIXELS: Final = 8192**2
MIN_COUNTED: Final = 4  # pictures by which a way of counting is known
MAX_NAMED: Final = 5
MAX_PACKING: Final = 2048  # values per byte; no lossless packing of pictures reaches it


@dataclass(frozen=True)
class PictureScale:
    """What pictures cannot say."""

    spacing_mm: tuple[float, float, float]  # between pictures, between rows, between columns
    black_hu: float  # HU of the lowest value a pixel can have
    white_hu: float  # HU of the highest

    def __post_init__(self) -> None:
        """Refuse what no scanner produces."""
        if not all(0 < s < 1000 for s in self.spacing_mm):
            raise InputError(f"picture spacing must be three lengths in mm, got {self.spacing_mm}")
        if not -32_768 <= self.black_hu < self.white_hu <= 32_767:
            raise InputError(f"black and white must be two rising HU values, got {self.black_hu} and {self.white_hu}")


def is_picture(path: Path) -> bool:
    """True when the name ends like a picture."""
    return path.suffix.lower() in SUFFIXES


def read_pictures(
    files: Sequence[Path], scale: PictureScale | None, progress: Callable[[int, int], None] = lambda done, of: None
) -> Volume:
    """The pictures of one stack in the order of the numbers in their names, the first the most inferior.

    Raises:
        InputError: no scale is given, or a picture is damaged, in colour, or of another size than the first.
    """
    files, others = _one_stack(files)
    ordered = sorted(files, key=lambda path: natural_key(path.name))
    if scale is None:
        raise InputError(
            f"{len(ordered)} pictures ({ordered[0].name} …) hold no HU and no spacing: state them with "
            "--spacing Z Y X (mm) and --grey BLACK WHITE (HU)"
        )
    stack: list[NDArray[np.float32]] = []
    warned: list[Problem] = []
    for done, path in enumerate(ordered, start=1):
        grey, said = _grey(path)
        if said:
            warned.append(Problem("library_warning", f"the reader warns: {'; '.join(said[:3])}", (path.name,)))
        limits = np.iinfo(grey.dtype)
        share = (grey.astype(np.float32) - np.float32(limits.min)) / np.float32(limits.max - limits.min)
        if stack and share.shape != stack[0].shape:
            raise InputError(f"{path.name} is {share.shape[1]} × {share.shape[0]}, {ordered[0].name} "
                             f"{stack[0].shape[1]} × {stack[0].shape[0]}: a stack has one size")  # fmt: skip
        stack.append(np.float32(scale.black_hu) + share * np.float32(scale.white_hu - scale.black_hu))
        progress(done, len(ordered))
    hu = hu_array(np.rint(np.stack(stack)).astype(np.int32))
    text = f"HU stated by the caller: black = {scale.black_hu:g}, white = {scale.white_hu:g}"
    return Volume(
        hu=hu,
        grid=Grid(shape=(hu.shape[0], hu.shape[1], hu.shape[2]), spacing_mm=scale.spacing_mm),
        problems=(Problem("no_geometry", text), *others, *_gaps(ordered), *joined(warned)),
        source=Source(kind="pictures", num_files=len(ordered)),
    )


def _one_stack(files: Sequence[Path]) -> tuple[list[Path], list[Problem]]:
    """The most pictures of one folder whose names differ by their numbers alone; masks and copies lie beside many."""
    stacks: dict[tuple[Path, str], list[Path]] = {}
    for path in files:
        stacks.setdefault((path.parent, re.sub(r"\d+", "0", path.name.lower())), []).append(path)
    if len(stacks) == 1:
        return list(files), []
    stack, *others = sorted(stacks.values(), key=len, reverse=True)
    firsts = ", ".join("/".join(each[0].parts[-2:]) for each in (stack, *others)[:MAX_NAMED])
    more = " …" if len(others) >= MAX_NAMED else ""
    text = (
        f"pictures of {len(stacks)} folders or forms of names, from {firsts}{more}: the largest, {len(stack)}, is taken"
    )
    left_out = tuple(path.name for each in others for path in each)
    return stack, [Problem("mixed_acquisitions", f"{text}, not", left_out)]


def _gaps(ordered: list[Path]) -> list[Problem]:
    """Numbers that the names of pictures leave out, where they are counted evenly but for these."""
    found = [re.findall(r"\d+", path.stem) for path in ordered]
    if len(ordered) < MIN_COUNTED or not all(found) or len({re.sub(r"\d+$", "", p.stem) for p in ordered}) > 1:
        return []
    numbers = np.array([int(each[-1]) for each in found])
    steps = np.diff(numbers)
    step = int(np.median(steps))
    gaps = [k for k in np.flatnonzero(steps != step) if step > 0 and steps[k] > step]
    if not gaps:
        return []
    between = ", ".join(f"{ordered[k].name} and {ordered[k + 1].name}" for k in gaps[:MAX_NAMED])
    text = f"the numbers of the pictures rise by {step}, but not between {between}"
    return [Problem("missing_slices", text, tuple(ordered[k + 1].name for k in gaps))]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts slice2 before slice10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower())]


def _grey(path: Path) -> tuple[NDArray[Any], list[str]]:
    """Grey levels of a picture, and what its reader said."""
    if path.suffix.lower() in (".jpg", ".jpeg") and not is_whole_jpeg(path.read_bytes()):
        raise InputError(f"{path.name} is not a whole JPEG picture (cut short or renamed)")
    require_utf8(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with overheard() as said_of_header:
            reader.ReadImageInformation()
        width, height, *more = reader.GetSize()
        num_values = width * height * reader.GetNumberOfComponents()
        if num_values > MAX_PACKING * path.stat().st_size:
            raise InputError(f"{path.name} announces {num_values} values in {path.stat().st_size} bytes")
        if width * height > MAX_PIXELS or any(n != 1 for n in more):
            raise InputError(f"{path.name} is {' × '.join(map(str, reader.GetSize()))}: not one slice")
        with overheard() as said:
            values = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError:
        raise InputError(f"{path.name} is not a readable picture (damaged, cut short or renamed)") from None
    if reader.GetNumberOfComponents() > 1:
        colours = values[..., :3]  # without transparency
        if (colours != colours[..., :1]).any():
            raise InputError(f"{path.name} is in colour; a CT slice is grey")
        values = values[..., 0]
    if values.dtype.kind not in "iu":
        raise InputError(f"{path.name} holds {values.dtype} values; grey levels are whole numbers")
    return np.asarray(values.reshape(values.shape[-2:])), list(dict.fromkeys([*said_of_header, *said]))
