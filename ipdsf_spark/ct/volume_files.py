"""Volumes that lie in one file: NIfTI through nibabel; NRRD and MetaImage through SimpleITK.

NIfTI's world is RAS, DICOM's LPS: x and y change sign on the way in (NIfTI-1 data format, nifti1.h, qform and
sform).
A header is believed only as far as the file is long enough to hold what it announces.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ipdsf_spark.ct.detached import missing_file, place_of_voxels
from ipdsf_spark.ct.named_files import (
    DATA_SUFFIXES,
    DETACHED,
    HEADER_SUFFIXES,
    MAX_HEADER,
    NIFTI_SUFFIXES,
    ends_like,
    is_gzip,
    is_packed_twice,
    named_for_itk,
    named_for_nibabel,
    pair_of,
)
from ipdsf_spark.ct.native import overheard, require_utf8
from ipdsf_spark.ct.placing import unread_form, unread_numbers, unsaid_axes, unused_scaling
from ipdsf_spark.ct.provenance import GENERATED
from ipdsf_spark.ct.surplus import end_of_packed, end_of_values, surplus_of_header, surplus_problems
from ipdsf_spark.ct.volume import AXIAL, Grid, Hu, Problem, Source, Vector, Volume, hu_array, joined, padding_in
from ipdsf_spark.errors import InputError

ITK_SUFFIXES: Final = (".nrrd", ".nhdr", ".mha", ".mhd")
MAX_DEFLATION: Final = 1032  # deflate cannot pack more than this many bytes into one
GEOMETRY_TOLERANCE: Final = 0.01  # by which sform, qform and voxel sizes may differ
MAX_WARNING: Final = 300  # characters
MIN_VOLUME: Final = 0.1  # of the cell of three unit axes: less is a plane
SHEAR_TOLERANCE: Final = 1e-3  # scalar product of two axes
EXTENSION_FLAG: Final = 4  # bytes between the header of a single NIfTI file and what follows
SPACING_FIELD: Final = re.compile(rb"^(spacings|space directions) *:|^Element(Spacing|Size) *=", re.MULTILINE)
SPACE_UNITS: Final = re.compile(rb"^(?:space )?units *: *(.*)", re.MULTILINE)  # of NRRD
MILLIMETRES: Final = {"", "mm", "millimeter", "millimeters", "millimetre", "millimetres"}
FAILED: Final = "ncompress failed"  # says MetaIO, and goes on
UNIT_MM: Final = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # by the low three bits of xyzt_units (nifti1.h)
# Lines of NRRD and MetaImage that place the voxels; without a number in one, readers take 1 mm and say nothing.
PLACING: Final = re.compile(
    rb"^(spacings|space directions|space origin|Element(?:Spacing|Size)|TransformMatrix|Offset|Position|Origin)"
    rb" *[:=].*?(?<![a-z])(nan|inf)(?![a-z])",
    re.MULTILINE | re.IGNORECASE,
)


def is_volume_file(path: Path) -> bool:
    """True when the name ends like a volume format that is read here."""
    return ends_like(path, (*NIFTI_SUFFIXES, *HEADER_SUFFIXES, *DATA_SUFFIXES, *ITK_SUFFIXES))


def read_volume_file(path: Path) -> Volume:
    """One NIfTI, NRRD or MetaImage file.

    Raises:
        InputError: damaged, cut short, in colour, with a time axis, or holding values that are not finite.
    """
    try:
        volume = _itk(path) if ends_like(path, ITK_SUFFIXES) else _nifti(path)
    except HeaderDataError as error:
        raise InputError(f"{path.name}: a field of its header holds no value of its kind ({error})") from None
    except (InputError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} cannot be read: {error.strerror or 'damaged or cut short'}") from None
    except Exception as error:  # the libraries raise whatever damaged bytes lead to
        if ends_like(path, DETACHED) and (missing := missing_file(path, _head_of(path))):
            raise InputError(f"{path.name} names {missing} as the file of its voxels, which is not there") from None
        head = _head_of(path) if ends_like(path, ITK_SUFFIXES) else b""
        if unread := unread_form(head) or unread_numbers(head):
            raise InputError(f"{path.name} cannot be read: {unread}") from None
        raise InputError(f"{path.name} cannot be read: damaged or cut short ({type(error).__name__})") from None
    if volume.hu.dtype == np.float32 and not np.isfinite(volume.hu).all():
        num_bad = int(volume.hu.size - np.isfinite(volume.hu).sum())
        raise InputError(f"{path.name} holds {num_bad} values that are no number (NaN or infinite); HU are finite")
    return volume


def _nifti(path: Path) -> Volume:
    data = path if ends_like(path, NIFTI_SUFFIXES) else pair_of(path)[1]
    is_packed = is_gzip(data)
    if is_packed and is_packed_twice(data):
        raise InputError(f"{path.name} is packed twice (browsers and servers do so): unpack it once")
    # Readers stop at the last voxel, and do not come to the checksums.
    end = end_of_packed(data, 0) if is_packed else None
    with named_for_nibabel(path) as named, _overheard_nibabel() as said:
        volume = _volume_of_nifti(path, data, nib.load(named, mmap=False), packed_end=end)
    if not said:
        return volume
    text = f"the reader warns: {'; '.join(dict.fromkeys(said))}"[:MAX_WARNING]
    warned = Problem("library_warning", text, (path.name,))
    return dataclasses.replace(volume, problems=(*volume.problems, warned))


@contextmanager
def _overheard_nibabel() -> Iterator[list[str]]:
    """What nibabel says of a header, which it would write to standard error among a caller's JSON and bars."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return False

    logger = logging.getLogger("nibabel.global")
    logger.addFilter(keep)
    try:
        yield said
    finally:
        logger.removeFilter(keep)


def _volume_of_nifti(path: Path, data: Path, image: Any, *, packed_end: int | None) -> Volume:
    header = image.header
    if not hasattr(header, "get_sform"):
        raise InputError(f"{path.name} is Analyze, which does not say left from right: make it NIfTI first")
    shape = _without_ones(tuple(int(n) for n in image.shape))
    dtype = header.get_data_dtype()
    _check_shape(path, shape)
    if dtype.kind not in "iuf":
        raise InputError(f"{path.name} holds {dtype} values; a CT volume holds one number per voxel")
    num_bytes = math.prod(shape) * dtype.itemsize
    _check_length(data, num_bytes, is_packed=packed_end is not None)
    begin = int(image.dataobj.offset)
    _check_begin(path, begin, header)
    affine, conflicts = _nifti_affine(header)
    end = begin + num_bytes
    conflicts += surplus_problems(data.name, end_of_values(data, end) if packed_end is None else packed_end, end)
    unit = int(header["xyzt_units"]) & 7
    if unit not in UNIT_MM:
        text = f"xyzt_units names no unit of length ({unit}): mm assumed"
        conflicts.append(Problem("geometry_conflict", text, (path.name,)))
    affine = affine * UNIT_MM.get(unit, 1.0)
    affine[:2] *= -1  # RAS to LPS
    columns = affine[:3, 2::-1].T  # one row per array axis z, y, x
    stored = np.asanyarray(image.dataobj.get_unscaled()).reshape(shape).T
    hu = _scaled(stored, image.dataobj.slope, image.dataobj.inter)
    conflicts += _unused_scaling(path, image)
    volume = _volume(hu, columns, affine[:3, 3], kind="nifti")
    volume = dataclasses.replace(volume, problems=(*volume.problems, *conflicts))
    if bytes(header["intent_name"]).rstrip(b"\0").decode("latin-1") != GENERATED:
        return volume
    remark = Problem("generated", "made by software, not acquired", (path.name,))
    return dataclasses.replace(volume, problems=(*volume.problems, remark))


def _check_begin(path: Path, begin: int, header: Any) -> None:
    """Refuse voxels that would begin within the header, whose bytes would be read as the first of them."""
    least = int(header.sizeof_hdr) + EXTENSION_FLAG if header.is_single else 0
    if begin < least:
        raise InputError(f"{path.name}: vox_offset is {begin}, where the header alone takes {least} bytes")


def _nifti_affine(header: Any) -> tuple[NDArray[np.float64], list[Problem]]:
    """RAS affine of (x, y, z): the sform, where it is unusable the qform, where that is too the voxel sizes.

    nifti1.h: an sform or qform counts where its code is above 0. Where both count and disagree, that is a remark.
    """
    found: dict[str, NDArray[np.float64]] = {}
    unusable: list[str] = []
    for name in ("sform", "qform"):
        try:
            affine, code = getattr(header, f"get_{name}")(coded=True)
        except Exception:  # a quaternion that is none
            unusable.append(name)
            continue
        if code <= 0:
            continue
        if _is_usable(affine[:3, :3]) and np.isfinite(affine).all():
            found[name] = np.asarray(affine, dtype=np.float64)
        else:
            unusable.append(name)
    if not found:
        base = np.asarray(header.get_base_affine(), dtype=np.float64)
        if unusable and _is_usable(base[:3, :3]) and not np.allclose(np.diag(base)[:3], (-1, 1, 1)):
            text = f"the {' and the '.join(unusable)} cannot be used: voxel sizes of the header and axial assumed"
            return base, [Problem("no_geometry", text)]
        if unusable:
            return np.full((4, 4), np.nan), []
        text = (
            "neither sform nor qform is set: voxel sizes of the header and axial assumed, left and right are not said"
        )
        return base, [Problem("no_geometry", text)]
    name, affine = next(iter(found.items()))
    problems = [Problem("geometry_conflict", f"the {other} cannot be used: the {name} is") for other in unusable]
    sizes = {n: np.linalg.norm(a[:3, :3], axis=0) for n, a in found.items()}
    sizes["pixdim"] = np.abs(np.asarray(header.get_zooms()[:3], dtype=np.float64))
    for other, size in sizes.items():
        is_far = not np.allclose(size, sizes[name], rtol=GEOMETRY_TOLERANCE)
        is_turned = other in found and not np.allclose(
            found[other][:3, :3] / size, affine[:3, :3] / sizes[name], atol=GEOMETRY_TOLERANCE
        )
        if np.isfinite(size).all() and (size > 0).all() and (is_far or is_turned):
            said = f"{_mm(sizes[name])} by the {name}, {_mm(size)} by the {other}" if is_far else "axes turned"
            problems.append(Problem("geometry_conflict", f"{name} and {other} disagree ({said}): the {name} is used"))
    return affine, problems


def _is_usable(axes: NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or (lengths <= 0).any():
        return False
    return bool(abs(np.linalg.det(axes / lengths)) > MIN_VOLUME)


def _mm(sizes: NDArray[np.float64]) -> str:
    return " × ".join(f"{s:.4g}" for s in sizes[::-1]) + " mm"


def _unused_scaling(path: Path, image: Any) -> list[Problem]:
    """What stands in scl_slope and scl_inter and is not applied: nifti1.h applies neither where the slope is 0."""
    holder = image.file_map.get("header") or image.file_map["image"]
    with holder.get_prepare_fileobj(mode="rb") as file:  # the header of the image has forgotten both
        header = image.header_class.from_fileobj(file, check=False)
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope):
        said = f"scl_slope is {slope:g}, which is no number to scale by: values taken as they are stored"
    elif slope == 0 and math.isfinite(inter) and inter:
        said = f"scl_slope is 0, so that scl_inter, {inter:g}, does not count: values taken as they are stored"
    else:
        return []
    return [Problem("header_field", said, (path.name,))]


def _scaled(stored: NDArray[Any], slope: float, intercept: float) -> Hu:
    if (slope, intercept) == (1.0, 0.0):
        return hu_array(stored)
    return hu_array((stored * np.float64(slope) + np.float64(intercept)).astype(np.float32))


def _itk(path: Path) -> Volume:
    require_utf8(path)
    with named_for_itk(path) as named:
        return _volume_of_itk(path, named)


def _volume_of_itk(path: Path, named: Path) -> Volume:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(named))
    with overheard() as said_of_header:
        reader.ReadImageInformation()
    size, num_components = _without_ones(reader.GetSize()), reader.GetNumberOfComponents()
    _check_shape(path, size)
    if num_components != 1:
        raise InputError(f"{path.name} holds {num_components} values per voxel; a CT volume holds one")
    if path.suffix.lower() in (".nrrd", ".mha"):
        _check_length(path, math.prod(size), is_packed=True)
    with overheard() as said:
        image = reader.Execute()
    if more := image.GetDimension() - 3:  # of a series of one volume
        image = sitk.Extract(
            image, [*size, *[0] * more], [0] * (3 + more), sitk.ExtractImageFilter.DIRECTIONCOLLAPSETOSUBMATRIX
        )
    if any(FAILED in line for line in said):  # what was not unpacked is whatever lay in memory
        raise InputError(f"{path.name}: its voxels could not be unpacked: damaged, or CompressedDataSize is absent")
    values = sitk.GetArrayFromImage(image)
    num_bytes, hu = values.nbytes, hu_array(values)
    directions = np.asarray(image.GetDirection()).reshape(3, 3).T[::-1]
    steps = directions * np.asarray(image.GetSpacing())[::-1, None]
    kind = "nrrd" if path.suffix.lower() in (".nrrd", ".nhdr") else "metaimage"
    volume = _volume(hu, steps, np.asarray(image.GetOrigin()), kind=kind)
    found = [*volume.problems, *_header_problems(path, named, num_bytes)]
    if warnings := list(dict.fromkeys([*said_of_header, *said])):
        found.append(Problem("library_warning", f"the reader warns: {'; '.join(warnings[:3])}", (path.name,)))
    return dataclasses.replace(volume, problems=tuple(joined(found)))


def _header_problems(path: Path, named: Path, num_bytes: int) -> Iterator[Problem]:
    """What the text of a NRRD or MetaImage header says that ITK passes over.

    Args:
        path: of the header.
        named: the same under a name that ITK opens.
        num_bytes: that the voxels should take.
    """
    head = _head_of(path)
    yield from surplus_of_header(named, head, num_bytes)
    if not SPACING_FIELD.search(head):
        yield Problem("no_geometry", "the header says no spacing of voxels: 1 mm assumed", (path.name,))
    units = {unit for line in SPACE_UNITS.findall(head) for unit in re.findall(r'"([^"]*)"', line.decode("latin-1"))}
    if other := sorted(units - MILLIMETRES):
        yield Problem(
            "geometry_conflict", f"its units are {', '.join(other)}: its numbers are taken for mm", (path.name,)
        )
    if broken := PLACING.search(head):
        text = f"{broken[1].decode()} holds {broken[2].decode()}, which is no number: 1 mm is taken, 0 for an origin"
        yield Problem("no_geometry", text, (path.name,))
    elif unread := unread_numbers(head):
        yield Problem("no_geometry", f"{unread}: readers take a part of it", (path.name,))
    if unsaid := unsaid_axes(head):
        yield Problem("no_geometry", unsaid, (path.name,))
    if unused := unused_scaling(head):
        yield Problem("header_field", unused, (path.name,))


def _head_of(path: Path) -> bytes:
    """The text of a header with the line that ends it, or the beginning of a file in which none does."""
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    return head[: place_of_voxels(head)]


def _volume(hu: Hu, steps: NDArray[np.float64], origin: NDArray[np.float64], *, kind: str) -> Volume:
    """`steps[k]` is the LPS vector from a voxel to its neighbour along array axis k."""
    spacing = np.linalg.norm(steps, axis=1)
    problems: list[Problem] = []
    if not _is_usable(steps.T):
        problems.append(Problem("no_geometry", "the header gives no usable axes: 1 mm and axial assumed"))
        steps, spacing = np.asarray(AXIAL), np.ones(3)
        origin = np.where(np.isfinite(origin), origin, 0.0)
    elif not np.isfinite(origin).all():
        problems.append(Problem("no_geometry", "the header gives no usable origin: 0 assumed"))
        origin = np.zeros(3)
    direction = steps / spacing[:, None]
    products = np.abs(direction @ direction.T - np.eye(3)).max()
    if products > SHEAR_TOLERANCE:
        angle = math.degrees(math.asin(min(1.0, float(products))))
        problems.append(Problem("tilt", f"the axes are not at right angles (sheared by {angle:.1f}°)"))
    return Volume(
        hu=hu,
        grid=Grid(
            shape=(hu.shape[0], hu.shape[1], hu.shape[2]),
            spacing_mm=_vector(spacing),
            origin_mm=_vector(origin),
            direction=(_vector(direction[0]), _vector(direction[1]), _vector(direction[2])),
        ),
        padding_hu=padding_in(hu),
        problems=tuple(problems),
        source=Source(kind=kind, num_files=1),
    )


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(v) + 0.0 for v in values)  # + 0 makes an ordinary zero of -0
    return (x, y, z)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the axes without those of time or of values behind the third along which there is one."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"{path.name} has the shape {' × '.join(map(str, shape))}; a CT volume has three axes")


def _check_length(path: Path, num_bytes: int, *, is_packed: bool) -> None:
    """Refuse a header that announces more than the file can hold, before memory is asked for."""
    length = path.stat().st_size
    if num_bytes > length * (MAX_DEFLATION if is_packed else 1):
        raise InputError(f"{path.name} announces {num_bytes} bytes of voxels but is only {length} bytes long")
