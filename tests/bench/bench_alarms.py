"""Faulty instruments in simulated networks: how many are found, how soon, and how often a healthy one is accused.

    python tests/bench/bench_alarms.py [--seeds 6] [--sites 12 20] [--days 16] [--into docs/air-and-tensor.md] [--record FILE]

Every network has a weather of its own seed: a day's plan that its sites share, each with its own height, timing, aerosol
and instrument, and on every seventh site-day other weather altogether. Faults are planted one at a time, from the middle
of the time on; a loss of light takes cells below the noise with it. The thresholds were set on seeds from 1000 on.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from recording import append, entry_of

from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import DayPlan, draw_plan, simulate
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.tensor import NetworkTensor, TensorSettings

GATE_M, NUM_GATES = 60.0, 40
PER_DAY = 288
SLICE = np.timedelta64(300, "s")
FIRST = np.datetime64("2026-06-15", "us")
SCENARIOS = ("clear", "cumulus", "clear", "mixed")
OTHER_WEATHER = 1 / 7
LEAST_SIGNAL = 3.0  # standard errors that a cell's mean must reach
BEGIN, END = "<!-- alarms: begin -->", "<!-- alarms: end -->"
FAULTS = (
    "light 10 %", "light 25 %", "light 40 %", "light 70 %", "gain 1.5", "window: to 30 % in three days",
    "misalignment: top loses 60 %", "clock 6 h slow", "clock 1 h slow",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Network:
    """mean and noise are (T, I, K): of a cell's backscatter and its standard error, NaN in cloud, rain, fog and gaps."""

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
        late = 12 * int(much.split()[0])
        mean[begin:], noise[begin:] = mean[begin - late : -late].copy(), noise[begin - late : -late].copy()
    mean[begin:] *= light
    return _log(mean, noise)


@dataclass(frozen=True)
class Told:
    """What a run of slices led to: slices of alarm of each site, and its first alarm with its feature."""

    first: dict[str, tuple[int, str]]
    begun: int  # alarms that began, of all sites
    spent_ms: np.ndarray


def run(cube: np.ndarray, sites: list[str], begin: int = 0) -> Told:
    """Alarms of a network; `first` counts from slice `begin` on."""
    model = NetworkTensor(TensorSettings(), NUM_GATES)
    first: dict[str, tuple[int, str]] = {}
    up: set[str] = set()
    begun, spent = 0, np.zeros(len(cube))
    for index, values in enumerate(cube):
        start = time.process_time()
        alarms = model.update(index, sites, values).alarms
        spent[index] = 1e3 * (time.process_time() - start)
        now = {alarm.site for alarm in alarms}
        begun += len(now - up)
        up = now
        for alarm in alarms if index >= begin else ():
            first.setdefault(alarm.site, (index, alarm.feature))
    return Told(first, begun, spent)


def trial(num_sites: int, days: int, seeds: range) -> dict[str, Any]:
    """All faults in networks of one size."""
    delays: dict[str, list[float]] = {fault: [] for fault in FAULTS}
    named: dict[str, list[str]] = {fault: [] for fault in FAULTS}
    accused, healthy, site_days, quick = 0, 0, 0.0, []
    tried = {fault: 0 for fault in FAULTS}
    begin = days * PER_DAY // 2 + 60
    for seed in seeds:
        network = network_of(seed, num_sites, days)
        seen = network.seen()
        calm = run(seen, network.sites)
        healthy += calm.begun
        site_days += seen.shape[0] * num_sites / PER_DAY
        quick.append((calm.spent_ms[100:500].mean(), calm.spent_ms[-400:].mean()))
        chosen = np.random.default_rng(seed).permutation(num_sites)
        for number, fault in enumerate(FAULTS):
            site = int(chosen[number % num_sites])
            faulty = seen.copy()
            faulty[:, site] = planted(network, fault, site, begin)
            told = run(faulty[: begin + 3 * PER_DAY], network.sites, begin)
            tried[fault] += 1
            found = told.first.pop(f"s{site}", None)
            if found is not None:
                delays[fault].append((found[0] - begin) / 12.0)
                named[fault].append(found[1])
            accused += len(set(told.first) - set(calm.first))
        print(f"{num_sites} sites, seed {seed}: {calm.begun} false alarms", file=sys.stderr, flush=True)
    return {
        "sites": num_sites,
        "networks": len(seeds),
        "site_years": round(site_days / 365.25, 2),
        "false_alarms": healthy,
        "false_alarms_per_site_year": round(healthy / site_days * 365.25, 2),
        "others_accused_per_fault": round(accused / sum(tried.values()), 3),
        "faults": {
            fault: {
                "tried": tried[fault],
                "found_in_6_h": sum(delay <= 6 for delay in delays[fault]),
                "found_in_24_h": sum(delay <= 24 for delay in delays[fault]),
                "found_in_72_h": len(delays[fault]),
                "median_delay_h": round(float(np.median(delays[fault])), 1) if delays[fault] else None,
                "named": {name: named[fault].count(name) for name in sorted(set(named[fault]))},
            }
            for fault in FAULTS
        },
        "slice_ms_early_and_late": [round(float(each), 2) for each in np.mean(quick, axis=0)],
    }
