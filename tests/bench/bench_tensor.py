"""The network as a tensor against recomputation, and gap filling against the climatology.

python tests/bench/bench_tensor.py [--sites 20] [--days 4] [--record FILE]

Where TensorLy can be imported its masked CP stands beside ours. Speed is a ratio of processor times in one process.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tensor"))
from recording import append, entry_of
from synthetic_network import relative_error, synthetic_network

from ipdsf_spark.lidar.simulator import DayPlan, draw_plan, simulate
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.tensor import NetworkTensor, TensorSettings
from ipdsf_spark.tensor.batch import masked_cp, rebuilt

GATE_M, NUM_GATES = 60.0, 40
SLICE = np.timedelta64(300, "s")
PER_DAY = 288


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    results: dict[str, float] = accuracy()
    results |= speed()
    cube = simulated_network(args.sites, args.days)
    results |= filling(cube)
    if args.record:
        append(args.record, entry_of("tensor", results=results))


def told(name: str, value: float, unit: str = "") -> dict[str, float]:
    print(f"{name:<84} {value:10.4f} {unit}", flush=True)
    return {name: round(float(value), 4)}


def tensorly_cp(values: np.ndarray, rank: int) -> np.ndarray | None:
    """TensorLy's masked CP, or None where it is not installed."""
    try:
        import tensorly as tl
        from tensorly.decomposition import parafac
    except ModuleNotFoundError:
        return None
    mask = np.isfinite(values)
    found = parafac(np.where(mask, values, 0.0), rank, mask=mask, n_iter_max=100, init="svd", random_state=0, tol=1e-7)
    return np.asarray(tl.cp_to_tensor(found))


def accuracy() -> dict[str, float]:
    """Error of the newest 40 slices: the stream against recomputations that are told which cells are outliers."""
    found: dict[str, float] = {}
    excess = []
    for rank in (4, 8):
        for missing in (0.3, 0.5, 0.7):
            for outliers in (0.1, 0.2):
                rng = np.random.default_rng(rank)
                network = synthetic_network(rank, (140, 30, 40), rng, missing=missing, outliers=outliers)
                model = NetworkTensor(TensorSettings(rank=rank, is_centered=False), 40)
                fitted = np.array([model.update(t, network.sites, x).fitted for t, x in enumerate(network.seen)])
                newest = slice(100, 140)
                clean = np.where(network.is_outlier, np.nan, network.seen)[newest]
                truth = network.truth[newest]
                name = f"rank {rank}, {missing:.0%} missing, {outliers:.0%} outliers: relative error"
                ours = relative_error(fitted[newest], truth)
                best = relative_error(rebuilt(*masked_cp(clean, rank, is_robust=False)), truth)
                found |= told(f"{name}, stream", ours)
                found |= told(f"{name}, recomputed, told the outliers", best)
                theirs = tensorly_cp(clean, rank)
                if theirs is not None:
                    best = relative_error(theirs, truth)
                    found |= told(f"{name}, TensorLy, told the outliers", best)
                excess.append(ours - best)
    return found | told("largest excess of the stream over the recomputation", max(excess))


def speed() -> dict[str, float]:
    """Processor time of a slice in the stream against a recomputation of the day up to it."""
    network = synthetic_network(6, (PER_DAY, 60, 60), np.random.default_rng(1), missing=0.5, outliers=0.1)
    model = NetworkTensor(TensorSettings(rank=6, is_centered=False), 60)
    spent = []
    for index, values in enumerate(network.seen):
        start = time.process_time()
        model.update(index, network.sites, values)
        spent.append(time.process_time() - start)
    stream_ms = 1e3 * float(np.mean(spent[100:]))
    early_ms, late_ms = (1e3 * float(np.mean(spent[part])) for part in (slice(60, 108), slice(240, 288)))
    start = time.process_time()
    masked_cp(network.seen, 6, is_robust=False)
    again_ms = 1e3 * (time.process_time() - start)
    found = told("60 sites x 60 gates, rank 6: a slice in the stream", stream_ms, "ms")
    found |= told("the same: the day recomputed", again_ms, "ms")
    found |= told("the same: times faster", again_ms / stream_ms)
    start = time.process_time()
    if tensorly_cp(network.seen, 6) is not None:
        found |= told("the same: times faster than TensorLy", 1e3 * (time.process_time() - start) / stream_ms)
    found |= told("the same: late slices against early ones", late_ms / early_ms)
    return found | told("the same: state", len(model.to_bytes()) / 1e6, "MB")


def simulated_network(num_sites: int, days: int) -> np.ndarray:
    """(T, I, K) log10 of backscatter of CL51s within one weather; NaN in clouds, rain, fog, noise and gaps."""
    rng = np.random.default_rng(6)
    first = np.datetime64("2026-06-15", "us")
    scenarios = ("clear", "cumulus", "clear", "mixed")
    shared = [draw_plan(rng, scenarios[day % 4]) for day in range(days + 1)]
    time_axis = first + np.arange(days * PER_DAY) * SLICE
    cube = np.full((len(time_axis), num_sites, NUM_GATES), np.nan)
    for number in range(num_sites):
        site = Site(f"s{number}", 48.0 + rng.normal(0, 0.5), 11.0 + rng.normal(0, 0.7))
        factor, height = rng.lognormal(0, 0.15), rng.normal(1.0, 0.08)

        def plan(day: object, *, factor: float = factor, height: float = height) -> DayPlan:
            made = shared[(np.datetime64(str(day)) - first.astype("datetime64[D]")).astype(int) % len(shared)]
            return replace(
                made,
                backscatter=made.backscatter * factor,
                daytime_height_m=made.daytime_height_m * height,
                residual_height_m=made.residual_height_m * height,
            )

        day = simulate(site, time_axis, rng=rng, instrument="cl51", cadence_s=300.0, plan=plan)
        cube[:, number] = _gates(day.profiles, rng)
    return cube


def _gates(profiles: object, rng: np.random.Generator) -> np.ndarray:
    beta, range_m = profiles.beta, profiles.range_m  # type: ignore[attr-defined]
    per = round(GATE_M / (range_m[1] - range_m[0]))
    first = per  # below lies the overlap
    part = beta[:, first : first + NUM_GATES * per].reshape(len(beta), NUM_GATES, per)
    mean, noise = part.mean(axis=2), part.std(axis=2) / np.sqrt(per)
    centre_m = range_m[first : first + NUM_GATES * per].reshape(NUM_GATES, per).mean(axis=1)
    base_m = np.nan_to_num(profiles.cloud_base_m[:, 0], nan=np.inf)  # type: ignore[attr-defined]
    bad = (centre_m[None, :] > base_m[:, None] - 100.0) | (mean < 3.0 * noise) | (mean <= 0.0)
    bad |= (profiles.is_fog | profiles.is_precipitation)[:, None]  # type: ignore[attr-defined]
    for _ in range(3):  # outages of up to three hours
        start = rng.integers(0, len(beta) - 36)
        bad[start : start + rng.integers(6, 36)] = True
    return np.where(bad, np.nan, np.log10(np.maximum(mean, 1e-12)))


def filling(cube: np.ndarray) -> dict[str, float]:
    """Mean absolute error on hidden cells from the second day on, in log10."""
    found = told("simulated network: share of cells missing", float(np.isnan(cube).mean()))
    for rank in (4, 6):
        model = NetworkTensor(TensorSettings(rank=rank, held_out=0.1), NUM_GATES)
        run(model, cube)
        ours, theirs = model.filling.errors
        found |= told(f"gap filling, rank {rank}: error of the model", ours, "log10")
        found |= told(f"gap filling, rank {rank}: error of the hourly climatology", theirs, "log10")
    return found


def run(model: NetworkTensor, cube: np.ndarray) -> None:
    sites = [f"s{number}" for number in range(cube.shape[1])]
    for index, values in enumerate(cube):
        model.update(index, sites, values)


if __name__ == "__main__":
    main()
