"""Generated volumes as NIfTI, slab by slab, so that memory grows with the slab and not with the volume.

Files appear under their name only when they are complete. `hu` is rounded to int16, the type of a CT.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.provenance import GENERATED, STATEMENT, Provenance
from ipdsf_spark.ct.volume import Grid, Volume
from ipdsf_spark.errors import InputError

COMMENT: Final = 6  # NIfTI extension code for plain text
SCANNER_COORDINATES: Final = 1  # NIfTI xform code
GZIP_LEVEL: Final = 1  # CT noise does not pack much better at higher levels, which take several times as long


def write_nifti(
    path: Path, grid: Grid, slabs: Iterable[NDArray[Any]], provenance: Provenance, *, replaces: bool = True
) -> Path:
    """Write hu[z, y, x] that comes in slabs of whole slices, inferior to superior; `.nii.gz` is packed.

    Args:
        path: of the file.
        grid: where the voxels lie.
        slabs: HU.
        provenance: what the header says about the making.
        replaces: whether a file that is there by the end is replaced.

    Raises:
        InputError: the slabs do not fill the grid, hold no finite numbers, or the disk does; another process writes the
            same file, or has written it meanwhile.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with _alone(partial, path) as raw:
            try:
                with _packed(raw, path) as file:
                    file.write(_header(grid, provenance))
                    for slab in filling(grid, slabs):
                        file.write(slab.astype("<i2", copy=False).tobytes())
                raw.flush()
                _put(partial, path, replaces=replaces)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return path


@contextmanager
def _alone(partial: Path, path: Path) -> Iterator[IO[bytes]]:
    """The unfinished file, empty, and held as long as it is written; one that a killed process left is taken over."""
    while True:
        with partial.open("ab") as raw:
            try:
                fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{path} is being written by another process: name another file") from None
            except OSError:  # a file system without locks
                pass
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(raw.fileno()), partial.stat()):
                    raw.truncate(0)
                    yield raw
                    return
        # Its last holder has just finished it: by now it is the volume itself.


def _put(partial: Path, path: Path, *, replaces: bool) -> None:
    """Give a finished file its name."""
    if replaces:
        os.replace(partial, path)
        return
    try:
        os.link(partial, path)  # which never replaces anything
    except OSError as error:
        if os.path.lexists(path):
            raise InputError(f"{path} has appeared meanwhile and is not replaced: name another file") from error
        os.replace(partial, path)  # a file system without links


def write_volume(path: Path, volume: Volume, provenance: Provenance) -> Path:
    """A volume that fits in memory, as NIfTI."""
    return write_nifti(path, volume.grid, [volume.hu], provenance)


def filling(grid: Grid, slabs: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.int16]]:
    """The slabs as int16, held to filling the grid exactly.

    Raises:
        InputError: a slab has another size, slices are missing or too many, or a value is not finite.
    """
    done = 0
    for slab in slabs:
        if slab.shape[1:] != grid.shape[1:]:
            raise InputError(f"a slab of {slab.shape} does not fit a volume of {grid.shape}")
        done += len(slab)
        yield as_int16(slab)
    if done != grid.shape[0]:
        raise InputError(f"{done} slices came for a volume of {grid.shape[0]}")


def as_int16(hu: NDArray[Any]) -> NDArray[np.int16]:
    """HU rounded to whole numbers and held within int16.

    Raises:
        InputError: a value is not finite.
    """
    if hu.dtype == np.int16:
        return hu
    if not np.isfinite(hu).all():
        raise InputError("a volume with values that are no number (NaN or infinite) is not written")
    limits = np.iinfo(np.int16)
    short: NDArray[np.int16] = np.rint(np.clip(hu, limits.min, limits.max)).astype(np.int16)
    return short


def _packed(raw: IO[bytes], path: Path) -> Any:
    # No name and no time in the gzip header: the same volume gives the same bytes.
    is_packed = path.name.lower().endswith(".gz")
    return gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) if is_packed else open(os.dup(raw.fileno()), "wb")


def _header(grid: Grid, provenance: Provenance) -> bytes:
    """Header and extension, up to the first voxel."""
    import nibabel as nib  # which slabs held to a grid do without

    steps = np.asarray(grid.direction) * np.asarray(grid.spacing_mm)[:, None]
    affine = np.eye(4)
    affine[:3, :3] = steps[::-1].T  # NIfTI counts x first
    affine[:3, 3] = grid.origin_mm
    affine[:2] *= -1  # LPS to RAS
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(grid.shape[::-1])
    header.set_xyzt_units("mm")
    header.set_qform(affine, code=SCANNER_COORDINATES)
    header.set_sform(affine, code=SCANNER_COORDINATES)
    header.set_slope_inter(1.0, 0.0)
    header["descrip"] = STATEMENT.encode()[:79]
    header["intent_name"] = GENERATED.encode()
    header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT, provenance.record.encode()))
    header["vox_offset"] = 352 + header.extensions.get_sizeondisk()
    header["magic"] = b"n+1"
    buffer = io.BytesIO()
    header.write_to(buffer)
    return buffer.getvalue().ljust(int(header["vox_offset"]), b"\0")
