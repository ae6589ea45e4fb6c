"""Time of all readers against those of another checkout, pairwise: the same files, in turn, in one run.

    git worktree add ../before COMMIT
    python tests/bench/bench_readers_between.py ../before [--record results.jsonl] [FILE...]

Each checkout decodes in a process of its own; for every kind of file the two take turns, round by round, so that both
meet the same load of the machine. Counted is the time of the processor. Without files the real ones of $IPDSF_DATA or
../shared/data are read. A ratio above 1: this checkout is slower.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import IO, cast

from recording import append, entry_of

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 30
LONGEST_ROUND_S = 0.05  # a small file is read several times in a round
WORKER = """
import sys, time
from pathlib import Path
from ipdsf_spark.lidar import instruments
for line in sys.stdin:
    times, *paths = line.rstrip("\\n").split("\\t")
    raws = [(Path(path).name, Path(path).read_bytes()) for path in paths]
    began = time.process_time()
    for _ in range(int(times)):
        for name, raw in raws:
            decoded = instruments.decode(raw, name=name)
    taken = time.process_time() - began
    layout = decoded.blocks[0].message_type if decoded.blocks else ""
    print(taken, decoded.num_profiles, decoded.instrument, layout, sep="\\t", flush=True)
"""


class Reader:
    """A process that decodes with the code of one checkout."""

    def __init__(self, checkout: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=checkout,  # Python looks there first
        )

    def read(self, paths: list[Path], times: int = 1) -> tuple[float, str, int]:
        """CPU seconds, kind of the last file, and its profiles."""
        stdin, stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        stdin.write("\t".join([str(times), *map(str, paths)]) + "\n")
        stdin.flush()
        taken, num, instrument, layout = stdout.readline().rstrip("\n").split("\t")
        return float(taken), f"{instrument}, {layout}", int(num)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def files_by_kind(now: Reader, paths: list[Path]) -> dict[str, list[Path]]:
    """Files that give profiles, by instrument, layout, suffix and number of profiles."""
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        _, kind, num = now.read([path])
        if num:
            kinds.setdefault(f"{kind}, {num} profiles, {path.suffix}", []).append(path)
    return kinds


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="folder of the other checkout")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    folder = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"), "ceilometer")
    paths = [path.resolve() for path in args.files] or sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in {".nc", ".dat", ".txt"}
    )
    before, now = Reader(args.before.resolve()), Reader(REPOSITORY)
    results = []
    print(f"{'ms of CPU per file':64} {'before':>8} {'now':>8} {'ratio':>6}")
    for kind, chosen in sorted(files_by_kind(now, paths).items()):
        once = max(reader.read(chosen)[0] for reader in (before, now, before, now))
        times = max(1, int(LONGEST_ROUND_S / max(once, 1e-4)))
        pairs = [(before.read(chosen, times)[0], now.read(chosen, times)[0]) for _ in range(ROUNDS)]
        per_file = 1e3 / (times * len(chosen))
        then_ms, now_ms = median(pair[0] for pair in pairs) * per_file, median(pair[1] for pair in pairs) * per_file
        ratio = median(pair[1] / pair[0] for pair in pairs)
        results.append({"kind": kind, "files": len(chosen), "before_ms": then_ms, "now_ms": now_ms, "ratio": ratio})
        print(f"{kind[:64]:64} {then_ms:8.3f} {now_ms:8.3f} {ratio:6.2f}", flush=True)
    before.close()
    now.close()
    if args.record:
        commit = subprocess.check_output(["git", "-C", str(args.before), "rev-parse", "--short", "HEAD"], text=True)
        facts = {"before": commit.strip(), "unit": "ms of CPU per file, one core", "results": results}
        append(args.record, entry_of("readers_between", **facts))


if __name__ == "__main__":
    main()
