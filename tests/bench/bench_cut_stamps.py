"""How often a log cut at any two bytes gets wrong times, by where its stamps stand and whether the site says it.

    python tests/bench/bench_cut_stamps.py [--record results.jsonl]

Logs of four CT25K messages without blank lines, from which pieces of two to four records are cut; each is read alone.
"""

from __future__ import annotations

import argparse
import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar.instruments import Clock, decode

NUM_PIECES = 3000
NUM_MESSAGES = 4
NOW = np.datetime64("2026-06-22", "us")
STAMPS = [datetime(2026, 6, 21, 9) + number * timedelta(seconds=15) for number in range(NUM_MESSAGES)]
ROWS = b"".join(b"%03d%s\r\n" % (16 * row, b"000E" * 16) for row in range(16))
MESSAGE = (
    b"\x01CT02020\x02\r\n10 03500 ///// ///// 00000200\r\n100 N 101 +24  74  201  +2    5 LF7HN1 125\r\n"
    + ROWS
    + b"\x03\r\n"
)


def log_of(where: str) -> bytes:
    """A log with its stamps before or behind its messages."""
    stamps = [b"%s\r\n" % str(stamp).encode() for stamp in STAMPS]
    return b"".join(stamp + MESSAGE if where == "before" else MESSAGE + stamp for stamp in stamps)


def is_wrong(raw: bytes, start: int, end: int, clock: Clock) -> bool:
    """Whether any profile of a piece of a log has another stamp than its own."""
    record = len(raw) // NUM_MESSAGES
    decoded = decode(raw[start:end], now=NOW, clock=clock)
    return any(
        moment != STAMPS[(start + offset) // record]
        for block, places in zip(decoded.blocks, decoded.places, strict=True)
        for moment, (offset, _) in zip(block.time.tolist(), places.tolist(), strict=True)
    )


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    results = []
    print(f"{'stamps stand':14} {'the site says':14} {'pieces':>7} {'with a wrong time':>18}")
    for where in ("before", "behind"):
        raw = log_of(where)
        record = len(raw) // NUM_MESSAGES
        for said in ("", where):
            rng = random.Random(1)
            places = [(rng.randrange(record), rng.randrange(2 * record, len(raw) + 1)) for _ in range(NUM_PIECES)]
            wrong = sum(is_wrong(raw, start, end, Clock(stamps=said)) for start, end in places)
            results.append({"stamps": where, "said": said, "pieces": NUM_PIECES, "wrong": wrong})
            print(f"{where:14} {said or 'nothing':14} {NUM_PIECES:7} {wrong:18}", flush=True)
    inside = len(MESSAGE) / (len(MESSAGE) + len(str(STAMPS[0])) + 2)
    print(f"a log with stamps before is cut inside a message at {inside:.1%} of its bytes")
    if args.record:
        append(args.record, entry_of("cut_stamps", inside_a_message=inside, results=results))


if __name__ == "__main__":
    main()
