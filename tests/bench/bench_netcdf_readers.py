"""Time of netCDF readers per profile on one core, from bytes to `Profiles`, opening included.

    python tests/bench/bench_netcdf_readers.py [--record results.jsonl] [FILE...]

Without files the real ones of $IPDSF_DATA or ../shared/data are read, and generated ones if those are not there. The
files of one kind are read in turn, so that no result is that of one file read over and over. `cold` is the first file
of a fresh process; `C library` is netCDF4 opening the same bytes and reading the same profile variables.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import netCDF4
from recording import append, entry_of

from ipdsf_spark.lidar import instruments

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 60
SIGNALS = ("beta_att", "x_pol", "p_pol", "beta_raw", "attenuated_backscatter_0", "cloud_base_heights", "cbh", "pbl")


def real_files() -> list[Path]:
    """The real netCDF files, if they are there."""
    folder = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"))
    return sorted((folder / "ceilometer").rglob("*.nc"))


def generated_files(folder: Path) -> list[Path]:
    """A CHM15k file of ten and a CL61 file of five profiles."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "lidar"))
    from made_files import profiles

    from ipdsf_spark.lidar.instruments import lufft_chm, vaisala_cl61

    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "chm15k.nc": lufft_chm.encode_file(profiles(10, 1024)),
        "cl61.nc": vaisala_cl61.encode_file(profiles(5, 3276)),
    }
    for name, raw in made.items():
        (folder / name).write_bytes(raw)
    return [folder / name for name in made]


def kind_of(path: Path, raw: bytes) -> str | None:
    """Instrument, layout and profiles of a file that has any."""
    decoded = instruments.decode(raw)
    if not decoded.blocks:
        return None
    layout = "netCDF-4" if raw[:4] == b"\x89HDF" else "netCDF-3"
    return f"{decoded.instrument}, {decoded.blocks[0].message_type}, {layout}, {decoded.num_profiles} profiles"


def per_profile_ms(files: list[bytes], num_profiles: int, action: Callable[[bytes], object]) -> tuple[float, float]:
    """Best and median time of an action per profile, the files in turn."""
    for raw in files:
        action(raw)
    taken = []
    for turn in range(ROUNDS):
        raw = files[turn % len(files)]
        started = time.perf_counter()
        action(raw)
        taken.append((time.perf_counter() - started) * 1e3 / num_profiles)
    return min(taken), median(taken)


def read_with_c_library(raw: bytes) -> None:
    """What a reader on netCDF4 cannot do without."""
    with netCDF4.Dataset("bench.nc", memory=raw) as file:
        file.set_auto_maskandscale(False)
        for name in ("time", "range", *SIGNALS):
            if name in file.variables:
                file[name][...]


def cold_ms(path: Path, num_profiles: int) -> float:
    """The first file of a fresh process, modules loaded, nothing remembered."""
    code = (
        "import sys, time; from pathlib import Path; from ipdsf_spark.lidar import instruments;"
        "raw = Path(sys.argv[1]).read_bytes(); t = time.perf_counter(); instruments.decode(raw);"
        "print((time.perf_counter() - t) * 1e3)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code, str(path)], text=True)) / num_profiles


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    parser.add_argument("--made", type=Path, default=REPOSITORY / "out" / "bench", help="folder of generated files")
    args = parser.parse_args()

    kinds: dict[str, list[Path]] = {}
    for path in args.files or real_files() or generated_files(args.made):
        kind = kind_of(path, path.read_bytes())
        if kind is not None:
            kinds.setdefault(kind, []).append(path)
    results = []
    print(f"{'ms per profile':64} {'best':>7} {'median':>7} {'cold':>7} {'C library':>10}")
    for kind, paths in sorted(kinds.items()):
        raws = [path.read_bytes() for path in paths]
        num_profiles = instruments.decode(raws[0]).num_profiles
        best, middle = per_profile_ms(raws, num_profiles, instruments.decode)
        library, _ = per_profile_ms(raws, num_profiles, read_with_c_library)
        cold = cold_ms(paths[0], num_profiles)
        results.append({"kind": kind, "files": len(paths), "best_ms": best, "median_ms": middle, "cold_ms": cold})
        results[-1]["c_library_best_ms"] = library
        print(f"{kind:64} {best:7.3f} {middle:7.3f} {cold:7.3f} {library:10.3f}")
    if args.record:
        append(args.record, entry_of("netcdf_readers", unit="ms per profile, one core", results=results))


if __name__ == "__main__":
    main()
