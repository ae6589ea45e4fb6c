"""Volume files under the names that their readers know: endings in small letters, headers beside their voxels.

Readers choose a format by its ending, as it is written on most disks. Files that were copied by way of a medium or a
program that knows capitals alone are shown to them through links; nothing is copied but headers.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import InputError

NIFTI_SUFFIXES: Final = (".nii", ".nii.gz")
HEADER_SUFFIXES: Final = (".hdr", ".hdr.gz")
DATA_SUFFIXES: Final = (".img", ".img.gz")
DETACHED: Final = (".mhd", ".nhdr")  # headers of MetaImage and NRRD, whose voxels lie in files that they name
GZIP_MARK: Final = b"\x1f\x8b"
MAX_HEADER: Final = 65_536
HEAD: Final = 4096


def ends_like(path: Path, suffixes: tuple[str, ...]) -> bool:
    """True for a name with one of these endings, whatever its case."""
    return path.name.lower().endswith(suffixes)


def is_gzip(path: Path) -> bool:
    """Told by the first bytes: browsers unpack files and keep the ending, and people drop it."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MARK


def is_packed_twice(path: Path) -> bool:
    """True for gzip within gzip."""
    with path.open("rb") as file:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            return member.decompress(file.read(HEAD), len(GZIP_MARK)) == GZIP_MARK
        except zlib.error:  # damaged: told by whoever unpacks it
            return False


def header_of(path: Path) -> Path | None:
    """The header that lies beside the voxels of a NIfTI pair; None for any other file."""
    return _beside(path, DATA_SUFFIXES, HEADER_SUFFIXES)


def pair_of(path: Path) -> tuple[Path, Path]:
    """Header and voxels of a NIfTI pair, of which `path` is either.

    Raises:
        InputError: the other is not there.
    """
    if ends_like(path, HEADER_SUFFIXES):
        if data := _beside(path, HEADER_SUFFIXES, DATA_SUFFIXES):
            return path, data
        raise InputError(f"{path.name} is the header of a pair of files, and no {_stem(path)}.img lies beside it")
    if header := header_of(path):
        return header, path
    raise InputError(f"{path.name} holds the voxels of a pair of files, and no {_stem(path)}.hdr lies beside it")


def _beside(path: Path, own: tuple[str, ...], wanted: tuple[str, ...]) -> Path | None:
    if not ends_like(path, own):
        return None
    names = [_stem(path) + ending for ending in wanted]
    lower = [name.lower() for name in names]
    found = [p for p in sorted(path.parent.iterdir()) if p.name.lower() in lower]
    # The same letters first: capitals may tell two volumes apart.
    return min(found, key=lambda p: (_stem(p) != _stem(path), lower.index(p.name.lower()))) if found else None


def _stem(path: Path) -> str:
    return re.sub(r"\.(hdr|img)(\.gz)?$", "", path.name, flags=re.IGNORECASE)


@contextmanager
def named_for_nibabel(path: Path) -> Iterator[Path]:
    """A NIfTI file or pair under a name that says whether it is packed.

    Raises:
        InputError: one of a pair is not there.
    """
    if ends_like(path, NIFTI_SUFFIXES):
        ending = ".nii.gz" if is_gzip(path) else ".nii"
        if path.name.endswith(ending):
            yield path
            return
        with _folder() as folder:
            (folder / f"volume{ending}").symlink_to(path.resolve())
            yield folder / f"volume{ending}"
        return
    header, data = pair_of(path)
    packed = ".gz" if is_gzip(data) else ""
    with _folder() as folder:
        content = gzip.decompress(header.read_bytes()) if is_gzip(header) else header.read_bytes()
        (folder / f"volume.hdr{packed}").write_bytes(gzip.compress(content) if packed else content)
        (folder / f"volume.img{packed}").symlink_to(data.resolve())
        yield folder / f"volume.img{packed}"


@contextmanager
def named_for_itk(path: Path) -> Iterator[Path]:
    """A NRRD or MetaImage file whose ending is in small letters, beside the files that its header names."""
    is_detached = ends_like(path, DETACHED)
    named = _named_in(path) if is_detached else {}
    is_as_said = all(os.path.lexists(path.parent / name) for name in named)
    if path.suffix == path.suffix.lower() and is_as_said:
        yield path
        return
    with _folder() as folder:
        here = folder / "a" / "b" / "c" / "d"  # headers may name files in folders above
        here.mkdir(parents=True)
        beside = {p.name: p for p in path.parent.iterdir() if p.is_file()} if is_detached else {}
        own = {f"{path.stem}{path.suffix.lower()}": path}
        for name, entry in {**beside, **named, **own}.items():
            link = Path(os.path.normpath(here / name))
            if folder in link.parents and not os.path.lexists(link):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(entry.resolve())
        yield here / next(iter(own))


def _named_in(path: Path) -> dict[str, Path]:
    """Every word of a header that is the relative path of a file, in these or in other letters, with that file."""
    with path.open("rb") as file:
        lines = file.read(MAX_HEADER).decode("utf-8", "surrogateescape").splitlines()
    words = {re.split(r"[:=]", line, maxsplit=1)[-1].strip() for line in lines}
    found = {w: _in_any_letters(path.parent, w) for w in words if w and "\0" not in w and not w.startswith("/")}
    return {word: file for word, file in found.items() if file is not None}


def _in_any_letters(folder: Path, name: str) -> Path | None:
    """The file at a relative path, each part of which may be written in other letters."""
    place = folder
    for part in Path(name).parts:
        try:
            if not os.path.lexists(place / part):
                part = next((n for n in sorted(os.listdir(place)) if n.lower() == part.lower()), "")
        except OSError:  # no folder, or too long a word to be a name
            return None
        if not part:
            return None
        place = place / part
    return place if place.is_file() else None


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ipdsf-ct-") as folder:
        yield Path(folder)
