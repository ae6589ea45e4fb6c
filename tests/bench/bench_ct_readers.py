"""CT series as they lie on a disk, read by this package and by SimpleITK (NIfTI by nibabel, too): are they the same?

    python tests/bench/bench_ct_readers.py FOLDER … [--markdown table.md]

Each series of two slices and more is a line, and so is each NIfTI, NRRD and MetaImage file. Compared are every voxel in
HU, origin, spacing and direction; both are turned to LPS by permuting and flipping axes alone. Of a series that this
package refuses, the line says why, and how SimpleITK sees what would have been taken.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import SimpleITK as sitk

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.errors import InputError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ct"))
from other_readers import SAME, by_itk, differences, differences_from_nibabel

TAGS = ("Modality", "SeriesInstanceUID", "SeriesNumber", "Manufacturer", "ManufacturerModelName", "NumberOfFrames")
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


@dataclass(frozen=True)
class Line:
    """What was found of one series or file."""

    where: str
    scanner: str
    slices: int
    ours: str
    others: str

    def __str__(self) -> str:
        cells = (self.where, self.scanner, str(self.slices), self.ours, self.others)
        return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def series_below(root: Path) -> dict[tuple[Path, str], list[tuple[Path, pydicom.Dataset]]]:
    """Files and headers of every CT series of a folder, by folder and SeriesInstanceUID."""
    found: dict[tuple[Path, str], list[tuple[Path, pydicom.Dataset]]] = defaultdict(list)
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.name != "DICOMDIR"):
        with path.open("rb") as file:
            begin = file.read(132)
        if begin[128:] != b"DICM" and begin[:2] != b"\x08\x00":
            continue
        try:
            header = pydicom.dcmread(path, specific_tags=list(TAGS), force=True, stop_before_pixels=True)
        except Exception as error:  # pydicom raises what a damaged header makes it stumble upon
            print(f"{path}: no header that pydicom reads: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        if header.get("Modality") == "CT":
            found[path.parent, str(header.get("SeriesInstanceUID"))].append((path, header))
    return found


def ours(path: Path, series: str | None = None) -> tuple[Volume | None, str]:
    """The volume, as found where it is refused, and what is said of it."""
    try:
        volume = read_volume(path, series=series)
    except InputError as error:
        said = f"refused: {str(error).replace(f'{path}: ', '', 1)[:400]}"
        try:
            return survey(path, series=series), said
        except InputError:
            return None, said
    return volume, "read" + "".join(f"; {problem.kind}" for problem in volume.problems)


def lines(root: Path) -> Iterator[Line]:
    for (folder, uid), files in series_below(root).items():
        header = files[0][1]
        if len(files) < 2 and int(header.get("NumberOfFrames") or 1) < 2:
            continue
        volume, said = ours(folder, uid)
        aside = {name for each in volume.problems if each.kind == "scout" for name in each.files} if volume else set()
        try:
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) or [str(path) for path, _ in files]
            image = by_itk([name for name in names if Path(name).name not in aside])
            told = differences(volume, image) if volume is not None else ""
        except RuntimeError as error:
            told = f"SimpleITK fails: {str(error).strip().splitlines()[-1][:100]}"
        scanner = f"{header.get('Manufacturer') or ''} {header.get('ManufacturerModelName') or ''}".strip()
        yield Line(str(folder.relative_to(root)), scanner, len(files), said, told)
    for path in sorted(p for p in root.rglob("*") if p.name.lower().endswith(VOLUMES)):
        volume, said = ours(path)
        try:
            told = differences(volume, by_itk([str(path)])) if volume is not None else ""
        except RuntimeError as error:
            told = f"SimpleITK fails: {str(error).strip().splitlines()[-1][:100]}"
        if volume is not None and ".nii" in path.name.lower():
            told += f"; nibabel: {differences_from_nibabel(volume, path)}"
        yield Line(str(path.relative_to(root)), "", len(volume.hu) if volume is not None else 0, said, told)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to a file, too")
    args = parser.parse_args()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    found = []
    for root in args.folders:
        for line in lines(root):
            print(line, flush=True)
            found.append(line)
    kinds = Counter(
        ("read" if line.ours.startswith("read") else "refused")
        + (", the same" if set(line.others.replace("nibabel: ", "").split("; ")) == {SAME} else ", not the same")
        for line in found
    )
    print(", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())), file=sys.stderr)
    if args.markdown:
        head = "| where | scanner | slices | ours | beside SimpleITK, nibabel |\n|---|---|---|---|---|\n"
        args.markdown.write_text(head + "".join(f"{line}\n" for line in found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
