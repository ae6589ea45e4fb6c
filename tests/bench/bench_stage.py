"""CPU per one-minute file: decoding, and the operators of many sites taken alone and together; bytes of a site's state.

    python tests/bench/bench_stage.py                                   heights alone
    python tests/bench/bench_stage.py --operators layers air_quality targets calibration edges forecast
    python tests/bench/bench_stage.py --sites 100 --turns 5

Processor times of one process without Spark and Kafka; the ways take turns and the median turn counts, so that a shared
machine blurs them little. Alone is a batch of one site, together one of all sites; both give the same records. Of a
batch of all sites it is told, too, what each operator takes by itself: the rest is merging averages, records and state.
The bytes of a state are those of a site of every instrument behind every file of a day from its second hour on: in four
minutes of five an interval is open, and by night more edges are pending than by day.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from recording import append, entry_of

from ipdsf_spark.config import load
from ipdsf_spark.experiments.bank import feeds_in, write_bank
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Outcome, Share, SiteStage

DAY = 1440
MINUTES = 180
WARM_UP = 120  # minutes until the lag is full and every file makes all rows that it can
BEGIN_MS = 1_782_032_400_000  # 2026-06-21 09:00


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operators", nargs="*", default=["layers"])
    parser.add_argument("--sites", type=int, default=30, help="in one batch")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    stage = stage_of(load(overrides=[f"stream.operators={json.dumps(args.operators)}"]))
    with tempfile.TemporaryDirectory() as folder:
        write_bank(Path(folder, "bank"), minutes=DAY)
        pieces, decoding_ms = decoded(Path(folder, "bank"))
    names = list(pieces)
    sites = [(Site(f"site-{k:04d}", 48.1, 11.6), pieces[names[k % len(names)]]) for k in range(args.sites)]
    warm = run(stage.step_many, sites, {}, range(WARM_UP))[1]
    spent: dict[str, list[float]] = {"alone": [], "together": []}
    own: dict[str, list[float]] = {name: [] for name in args.operators}
    for _ in range(args.turns):
        for way, step in (("alone", one_by_one(stage)), ("together", stage.step_many)):
            spent[way].append(run(step, sites, dict(warm), range(WARM_UP, MINUTES))[0])
        watched, taken = watching(stage)
        run(watched.step_many, sites, dict(warm), range(WARM_UP, MINUTES))
        for name, seconds in taken.items():
            own[name].append(1e3 * seconds / (len(sites) * (MINUTES - WARM_UP)))
    sizes = state_bytes(stage, pieces)
    results = {
        "decoding_ms": round(decoding_ms, 3),
        **{f"{way}_ms": round(statistics.median(turns), 3) for way, turns in spent.items()},
        "own_ms": {name: round(statistics.median(turns), 3) for name, turns in own.items()},
        "state_bytes": {"median": statistics.median(sizes), "largest": max(sizes)},
    }
    print(json.dumps(results))
    if args.record:
        append(args.record, entry_of("stage", operators=args.operators, sites=args.sites, results=results))


def decoded(bank: Path) -> tuple[dict[str, list[bytes]], float]:
    """What decoding makes of every feed's files, and its milliseconds per file."""
    decoder = Decoder({"default": Site("default", 48.1, 11.6)}, 300, 8_000_000)
    found: dict[str, list[bytes]] = {}
    num, started = 0, time.process_time()
    for feed in feeds_in(bank):
        for minute, file in enumerate(feed.files):
            sent_ms = BEGIN_MS + 60_000 * (minute + 1)
            record = (file.read_bytes(), file.name, sent_ms, sent_ms, None, "files", 0, minute)
            found.setdefault(feed.site, []).append(decoder.row_of("site", *record)[1])
            num += 1
    return found, 1e3 * (time.process_time() - started) / num


def state_bytes(stage: SiteStage, pieces: dict[str, list[bytes]]) -> list[int]:
    """Of every site behind every file of a day, without its first hour."""
    sites = [(Site(name, 48.1, 11.6), files) for name, files in pieces.items()]
    sizes: list[int] = []
    states: dict[str, bytes] = {}
    for minute in range(DAY):
        states = run(stage.step_many, sites, states, range(minute, minute + 1))[1]
        sizes += [len(state) for state in states.values()] if minute >= 60 else []
    return sizes


def watching(stage: SiteStage) -> tuple[SiteStage, dict[str, float]]:
    """The same stage, and the seconds that each of its operators takes, added up while it runs."""
    taken = {operator.name: 0.0 for operator in stage.operators}

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*asked: Any) -> Any:
            started = time.process_time()
            try:
                return step(*asked)
            finally:
                taken[name] += time.process_time() - started

        return watched

    operators = tuple(
        replace(each, step=timed(each.name, each.step), step_many=each.step_many and timed(each.name, each.step_many))
        for each in stage.operators
    )
    return replace(stage, operators=operators), taken


def one_by_one(stage: SiteStage) -> Callable[[list[Share]], list[Outcome]]:
    return lambda shares: [stage.step(*share[:3]) for share in shares]


def run(
    step: Callable[[list[Share]], list[Outcome]],
    sites: list[tuple[Site, list[bytes]]],
    states: dict[str, bytes],
    minutes: range,
) -> tuple[float, dict[str, bytes]]:
    """Milliseconds per file of one batch a minute, and the states behind it."""
    started = time.process_time()
    for minute in minutes:
        shares = [Share(site, [Piece.from_bytes(files[minute])], states.get(site.id, b"")) for site, files in sites]
        for share, outcome in zip(shares, step(shares), strict=True):
            states[share.site.id] = outcome.state.to_bytes() if outcome.state else b""
    return 1e3 * (time.process_time() - started) / (len(minutes) * len(sites)), states


if __name__ == "__main__":
    main()
