"""Time of the CT25K reader beside that of ceilopyter (actris-cloudnet): the same files, in turn, in one run.

    python -m venv ../beside && ../beside/bin/pip install ceilopyter
    python tests/bench/bench_ct25k_beside_ceilopyter.py ../beside/bin/python [--record results.jsonl] [FILE...]

Each reads from the path of a file to arrays in a process of its own, ceilopyter by `read_ct_file` and the interpreter
given; round by round they take turns, so that both meet the same load of the machine. Counted is the time of the
processor. Without files: the real log of $IPDSF_DATA or ../shared/data with its 3 messages, and its first message with
rising stamps in logs of 1, 60 and 720. A ratio above 1: this reader is slower.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import IO, cast

from recording import append, entry_of

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 40
ROUND_S = 0.02  # a small file is read several times in a round
COUNTS = (1, 60, 720)
STEP = timedelta(seconds=15)
LOOP = """
import sys, time
for line in sys.stdin:
    times, path = line.rstrip("\\n").split("\\t")
    began = time.process_time()
    for _ in range(int(times)):
        found = read(path)
    print((time.process_time() - began) / int(times), number(found), sep="\\t", flush=True)
"""
OURS = f"""
from pathlib import Path
from ipdsf_spark.lidar.instruments import decode
def read(path):
    return decode(Path(path).read_bytes(), name=Path(path).name)
def number(found):
    return found.num_profiles
{LOOP}"""
THEIRS = f"""
from ceilopyter import read_ct_file as read
def number(found):
    return len(found[1])
{LOOP}"""


class Reader:
    """A process that reads files with one program."""

    def __init__(self, python: str, program: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [python, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def read(self, path: Path, times: int = 1) -> tuple[float, int]:
        """CPU seconds of one reading, and the profiles found."""
        stdin, stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        stdin.write(f"{times}\t{path}\n")
        stdin.flush()
        taken, num = stdout.readline().split("\t")
        return float(taken), int(num)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def logs_of(real: Path, folder: Path) -> list[Path]:
    """Logs of several lengths, of the first message of a real one."""
    raw = real.read_bytes()
    message = re.search(rb"-\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\r?\n(\x01CT.*?\x03\r?\n)", raw, re.DOTALL)
    if message is None:
        raise SystemExit(f"{real} holds no message behind a stamp of its own line")
    paths = []
    for count in COUNTS:
        stamps = (datetime(2026, 6, 21) + number * STEP for number in range(count))
        paths.append(folder / f"{count}.dat")
        paths[-1].write_bytes(b"".join(b"-%s\r\n%s\r\n" % (str(stamp).encode(), message[1]) for stamp in stamps))
    return paths


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="interpreter of an environment with ceilopyter")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    version = subprocess.check_output(
        [args.python, "-c", "from importlib.metadata import version; print(version('ceilopyter'))"], text=True
    ).strip()
    ours, theirs = Reader(sys.executable, OURS), Reader(args.python, THEIRS)
    results = []
    print(f"{'ms of CPU per file':28} {'ceilopyter':>10} {'here':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data"), "ceilometer")
        real = args.files or sorted(data.rglob("ct25k.dat"))
        for path in [*real, *(logs_of(real[0], Path(folder)) if real and not args.files else [])]:
            once, num = max(ours.read(path), ours.read(path))
            _, num_theirs = theirs.read(path)
            times = max(1, int(ROUND_S / max(once, 1e-5)))
            pairs = [(theirs.read(path, times)[0], ours.read(path, times)[0]) for _ in range(ROUNDS)]
            them_ms, we_ms = (median(pair[side] for pair in pairs) * 1e3 for side in (0, 1))
            ratio = median(pair[1] / pair[0] for pair in pairs)
            kind = f"{num} profiles (ceilopyter {num_theirs})"
            results.append({"kind": kind, "ceilopyter_ms": them_ms, "here_ms": we_ms, "ratio": ratio})
            print(f"{kind:28} {them_ms:10.3f} {we_ms:8.3f} {ratio:6.2f}", flush=True)
    ours.close()
    theirs.close()
    if args.record:
        facts = {"ceilopyter": version, "unit": "ms of CPU per file, one core", "results": results}
        append(args.record, entry_of("ct25k_beside_ceilopyter", **facts))


if __name__ == "__main__":
    main()
