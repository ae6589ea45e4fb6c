"""Faulty instruments in simulated networks: how many are found, how soon, and how often a healthy one is accused.

    python tests/bench/bench_alarms.py [--seeds 3] [--sites 12 20] [--days 16] [--into FILE] [--record FILE]

Every network has a weather of its own seed: a day's plan that its sites share, each with its own height, timing,
aerosol and instrument, and on every seventh site-day other weather altogether. Faults are planted one at a time, from
the middle of the time on; a loss of light takes cells below the noise with it. Thresholds were set on the seeds 0 to 2,
1000 to 1003 and 5000 to 5005. The alarms see the slices alone, so the decomposition is not run.
"""

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from recording import append, entry_of

from ipdsf_spark.experiments.page import write_between
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import DayPlan, draw_plan, simulate
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.tensor.alarms import ResidualAlarms

GATE_M, NUM_GATES = 60.0, 40
PER_DAY = 288
TRIES = 3  # sites of a network
FOLLOWED_DAYS = 7  # of a fault
SLICE = np.timedelta64(300, "s")
FIRST = np.datetime64("2026-06-15", "us")
SCENARIOS = ("clear", "cumulus", "clear", "mixed")
OTHER_WEATHER = 1 / 7
LEAST_SIGNAL = 3.0  # standard errors that a cell's mean must reach
BEGIN, END = "<!-- alarms: begin -->", "<!-- alarms: end -->"
FAULTS = (
    "light 10 %", "light 25 %", "light 40 %", "light 70 %", "gain 1.5", "gain 0.67", "window: to 30 % in three days",
    "misalignment: top loses 60 %", "clock 6 h slow", "clock 3 h fast", "clock 2 h slow", "clock 1 h slow",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Network:
    """(T, I, K) mean of a cell's backscatter and its standard error; NaN in cloud, rain, fog and gaps."""

    mean: np.ndarray
    noise: np.ndarray

    @property
    def sites(self) -> list[str]:
        return [f"s{number}" for number in range(self.mean.shape[1])]

    def seen(self) -> np.ndarray:
        return _log(self.mean, self.noise)


def _log(mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(mean > LEAST_SIGNAL * noise, np.log10(mean), np.nan)


def network_of(seed: int, num_sites: int, days: int) -> Network:
    rng = np.random.default_rng([seed, num_sites])
    at = FIRST + np.arange(days * PER_DAY) * SLICE
    shared = [draw_plan(rng, SCENARIOS[rng.integers(4)]) for _ in range(days + 2)]
    mean = np.full((len(at), num_sites, NUM_GATES), np.nan, np.float32)
    noise = mean.copy()
    for number in range(num_sites):
        site = Site(f"s{number}", 48.0 + rng.normal(0, 0.5), 11.0 + rng.normal(0, 0.7))
        plans = [_own(plan, rng, rng.lognormal(0, 0.15), rng.normal(1.0, 0.08)) for plan in shared]

        def plan(day: date, *, plans: list[DayPlan] = plans) -> DayPlan:
            return plans[(np.datetime64(str(day)) - FIRST.astype("datetime64[D]")).astype(int) % len(plans)]

        profiles = simulate(site, at, rng=rng, instrument="cl51", cadence_s=300.0, plan=plan).profiles
        mean[:, number], noise[:, number] = _cells(profiles, rng, days)
    return Network(mean, noise)


def _own(plan: DayPlan, rng: np.random.Generator, factor: float, height: float) -> DayPlan:
    """A site's version of the day."""
    if rng.random() < OTHER_WEATHER:
        plan = draw_plan(rng, SCENARIOS[rng.integers(4)])
    of_day, high = factor * rng.lognormal(0, 0.12), height * rng.normal(1.0, 0.06)
    return replace(
        plan,
        backscatter=plan.backscatter * of_day,
        daytime_height_m=plan.daytime_height_m * high,
        residual_height_m=plan.residual_height_m * high,
        growth_delay_s=plan.growth_delay_s + rng.normal(0.0, 1800.0),
    )


def _cells(profiles: Profiles, rng: np.random.Generator, days: int) -> tuple[np.ndarray, np.ndarray]:
    per = round(GATE_M / profiles.range_resolution_m)
    part = profiles.beta[:, per : per + NUM_GATES * per].reshape(len(profiles), NUM_GATES, per)
    mean, noise = part.mean(axis=2), part.std(axis=2) / np.sqrt(per)
    centre_m = profiles.range_m[per : per + NUM_GATES * per].reshape(NUM_GATES, per).mean(axis=1)
    base_m = np.nan_to_num(profiles.cloud_base_m[:, 0], nan=np.inf)
    bad = centre_m[None, :] > base_m[:, None] - 100.0
    bad |= (profiles.is_fog | profiles.is_precipitation)[:, None]
    for start in rng.integers(0, len(mean) - 36, days):  # outages of up to three hours
        bad[start : start + rng.integers(6, 36)] = True
    return np.where(bad, np.nan, mean), noise


def planted(network: Network, fault: str, site: int, begin: int) -> np.ndarray:
    """(T, K) log10 of what a faulty site shows: healthy before slice `begin`."""
    mean, noise = network.mean[:, site].astype(float), network.noise[:, site].astype(float)
    num = len(mean) - begin
    kind, _, much = fault.partition(" ")
    light = np.ones((num, NUM_GATES))
    if kind == "light":
        light *= float(much.rstrip(" %")) / 100.0
    elif kind == "window:":
        light *= 1.0 - 0.7 * np.minimum(np.arange(num)[:, None] / (3 * PER_DAY), 1.0)
    elif kind == "misalignment:":
        light *= 1.0 - 0.6 * np.arange(NUM_GATES) / NUM_GATES
    elif kind == "gain":
        mean[begin:], noise[begin:] = float(much) * mean[begin:], float(much) * noise[begin:]
    elif kind == "clock":
        hours, _, sense = much.partition(" h ")
        late = 12 * int(hours) * (1 if sense == "slow" else -1)  # a fast one shows at the end what came at the begin
        mean[begin:], noise[begin:] = (np.roll(each, late, axis=0)[begin:].copy() for each in (mean, noise))
    mean[begin:] *= light
    return _log(mean, noise)


@dataclass
class Watch:
    """The alarms of a network as it goes on."""

    alarms: ResidualAlarms
    begun: int = 0

    def run(self, cube: np.ndarray, begin: int = 0) -> dict[int, tuple[int, str]]:
        """First alarm of each site among slices that are numbered from `begin` on, with its feature."""
        rows = np.arange(cube.shape[1])
        names = [str(row) for row in rows]
        first: dict[int, tuple[int, str]] = {}
        up = self.alarms.standing(rows)
        for index, values in enumerate(cube, start=begin):
            for alarm in self.alarms.update(index, names, rows, values):
                first.setdefault(int(alarm.site), (index, alarm.feature))
            now = self.alarms.standing(rows)
            self.begun += int((now & ~up).sum())
            up = now
        return first


def trial(num_sites: int, days: int, seeds: range) -> dict[str, Any]:
    """All faults in networks of one size; a site that is under alarm already cannot be found."""
    delays: dict[str, list[float]] = {fault: [] for fault in FAULTS}
    named: dict[str, list[str]] = {fault: [] for fault in FAULTS}
    accused, healthy, site_days, tried = 0, 0, 0.0, 0
    begin = days * PER_DAY // 2 + 60
    watched = FOLLOWED_DAYS * PER_DAY
    for seed in seeds:
        network = network_of(seed, num_sites, days)
        seen = network.seen()
        calm = Watch(ResidualAlarms())
        calm.alarms.grow(num_sites)
        calm.run(seen[:begin])
        before = copy.deepcopy(calm.alarms)
        of_itself = calm.run(seen[begin : begin + watched], begin)
        calm.run(seen[begin + watched :], begin + watched)
        healthy += calm.begun
        site_days += seen.shape[0] * num_sites / PER_DAY
        free = np.flatnonzero(~before.standing(np.arange(num_sites)))
        chosen = np.random.default_rng(seed).permutation(free)
        tried += TRIES
        for fault in FAULTS:
            for site in map(int, chosen[:TRIES]):
                faulty = seen[begin : begin + watched].copy()
                faulty[:, site] = planted(network, fault, site, begin)[begin : begin + watched]
                first = Watch(copy.deepcopy(before)).run(faulty, begin)
                found = first.pop(site, None)
                if found is not None:
                    delays[fault].append((found[0] - begin) / 12.0)
                    named[fault].append(found[1])
                accused += len(set(first) - set(of_itself))
        features = [feature for _, feature in of_itself.values()]
        print(f"{num_sites} sites, seed {seed}: {calm.begun} false alarms {features}", file=sys.stderr, flush=True)
    return {
        "sites": num_sites,
        "networks": len(seeds),
        "site_years": round(site_days / 365.25, 2),
        "false_alarms": healthy,
        "false_alarms_per_site_year": round(healthy / site_days * 365.25, 1),
        "others_accused": accused,
        "tried": tried,
        "faults": {
            fault: {
                "found_in_6_h": sum(delay <= 6 for delay in delays[fault]),
                "found_in_24_h": sum(delay <= 24 for delay in delays[fault]),
                "found_in_72_h": sum(delay <= 72 for delay in delays[fault]),
                "found_in_168_h": len(delays[fault]),
                "median_delay_h": round(float(np.median(delays[fault])), 1) if delays[fault] else None,
                "named": {name: named[fault].count(name) for name in sorted(set(named[fault]))},
            }
            for fault in FAULTS
        },
    }


def markdown(trials: list[dict[str, Any]], days: int) -> str:
    """The part between the marks of the page."""
    lines = [f"`{entry_of('alarms')['command']}`, {datetime.now(UTC):%Y-%m-%d}"]
    for each in trials:
        size = (
            f"{each['networks']} networks of {each['sites']} sites, {days} days each ({each['site_years']} site-years)"
        )
        rate = f"{each['false_alarms']} false alarms, {each['false_alarms_per_site_year']} per site-year"
        others = f"{each['others_accused']} other sites accused in {each['tried'] * len(FAULTS)} trials of a week"
        lines += ["", f"{size}: {rate}. {each['tried']} sites with each fault, one at a time; {others}.", ""]
        lines += [
            "| fault | found within 6 h | 24 h | 3 d | 7 d | median delay | named |",
            "|---|---|---|---|---|---|---|",
        ]
        for fault, told in each["faults"].items():
            shares = [f"{told[f'found_in_{hours}_h'] / each['tried']:.0%}" for hours in (6, 24, 72, 168)]
            delay = "–" if told["median_delay_h"] is None else f"{told['median_delay_h']} h"
            what = ", ".join(f"{name} {count}" for name, count in told["named"].items()) or "–"
            lines.append(f"| {fault} | {' | '.join(shares)} | {delay} | {what} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables; write them into a page and the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="networks of each size")
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--sites", type=int, nargs="+", default=[12, 20])
    parser.add_argument("--days", type=int, default=24)
    parser.add_argument("--into", type=Path, metavar="FILE", help="put the tables between the marks of a document")
    parser.add_argument("--record", type=Path, help="append the results as one JSON line")
    args = parser.parse_args()
    trials = [trial(number, args.days, range(args.first_seed, args.first_seed + args.seeds)) for number in args.sites]
    text = markdown(trials, args.days)
    print(text)
    if args.into:
        write_between(args.into, BEGIN, END, text)
    if args.record:
        append(args.record, entry_of("alarms", results=trials))


if __name__ == "__main__":
    main()
