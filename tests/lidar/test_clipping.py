"""Zeros that firmware writes where the signal is weak, and real weak signal, which is none of that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import profiles

from ipdsf_spark.cli.main import main
from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.clipping import clipped_gates
from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.profiles import Float32, Float64

TOP_M = 1000.0


def real(seed: int, num_gates: int, resolution_m: float, free: float = 2e-7) -> tuple[Float32, Float64]:
    """(4, G) a layer below 1 km, `free` above, noise growing as range²."""
    range_m = (np.arange(num_gates) + 0.5) * resolution_m
    noise = np.random.default_rng(seed).normal(0.0, 2e-8, (4, num_gates)) * (range_m / 1000.0) ** 2
    return (np.where(range_m < TOP_M, 3e-6, free) + noise).astype(np.float32), range_m


def clipped_from(beta: Float32, range_m: Float64) -> Float32:
    """(T,) range of the lowest clipped gate [m], NaN where a profile is not clipped."""
    gates = clipped_gates(beta, range_m)
    return np.array([range_m[gates[row]] if row in gates else np.nan for row in range(len(beta))], np.float32)


grids = st.sampled_from([(2048, 5.0), (770, 10.0), (1024, 15.0), (256, 30.0)])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 99), grid=grids, step=st.sampled_from([0.0, 1e-9, 1e-8, 3e-8, 1e-7]), free=st.floats(0, 5e-7)
)
def test_real_weak_signal_is_never_called_clipped(seed: int, grid: tuple[int, float], step: float, free: float) -> None:
    beta, range_m = real(seed, *grid, free=free)
    counted = np.rint(beta / step) * np.float32(step) if step else beta

    assert np.isnan(clipped_from(counted.astype(np.float32), range_m)).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 99), grid=grids, floor=st.sampled_from([0.0, 1e-12, 4e-7, -1e-7]))
def test_what_stands_on_a_floor_is_clipped_from_where_the_signal_is_lost(
    seed: int, grid: tuple[int, float], floor: float
) -> None:
    beta, range_m = real(seed, *grid, free=0.0)
    threshold = max(floor, 6e-7)
    clipped = np.where((beta > threshold) & (range_m < 3000.0), beta, np.float32(floor))

    found = clipped_from(clipped, range_m)

    assert np.all(np.abs(found - TOP_M) < 130.0)


def test_zeros_where_the_beam_does_not_overlap_the_view_are_not_clipped() -> None:
    beta, range_m = real(1, 770, 10.0)
    beta[:, :20] = 0.0

    assert np.isnan(clipped_from(beta, range_m)).all()


def test_nothing_but_zeros_is_clipped_from_the_first_gate() -> None:
    assert clipped_from(np.zeros((1, 200), np.float32), np.arange(200) * 10.0 + 5.0).tolist() == [5.0]


@pytest.mark.parametrize("num_gates", [0, 1, 2, 15, 40])
def test_few_gates_missing_values_and_formulas_are_no_reason(num_gates: int) -> None:
    range_m = np.arange(num_gates) * 30.0
    formula = np.where(range_m < 500.0, 1e-6, 1e-7).astype(np.float32)[None]

    assert np.isnan(clipped_from(formula, range_m)).all()
    assert np.isnan(clipped_from(np.full((2, num_gates), np.nan, np.float32), range_m)).all()


def test_the_log_whose_firmware_writes_zeros_is_cut_where_they_begin(real_ceilometer_data: Path) -> None:
    raw = next(real_ceilometer_data.rglob("ceilometer_L0_20250306.dat")).read_bytes()

    blocks = instruments.decode(raw).blocks

    for block in blocks:
        assert block.clipped_from_m is not None
        assert ((block.clipped_from_m > 1500.0) & (block.clipped_from_m < 2500.0)).all()
        assert np.array_equal(np.isnan(block.beta), block.range_m >= block.clipped_from_m[:, None])


def test_real_logs_in_whole_counts_are_not_cut(real_ceilometer_data: Path) -> None:
    for name in ("ct25k.dat", "cl51.DAT", "20230612_ceilometer.txt", "20220729_norunda_cl51.nc"):
        for block in instruments.decode(next(real_ceilometer_data.rglob(name)).read_bytes()).blocks:
            assert block.clipped_from_m is not None
            assert np.isnan(block.clipped_from_m).all()


@pytest.mark.parametrize("threshold", [4e-7, 6e-7])
def test_the_edge_of_the_zeros_gives_no_layer(
    threshold: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal that falls smoothly with height has no edge; its zeros once gave one in every interval."""
    made = profiles(24, 1540)
    range_m = (np.arange(1540) + 0.5) * 10.0
    noise = np.random.default_rng(0).normal(0.0, 3e-8, (24, 1540)) * (range_m / 1000.0) ** 2
    beta = 4e-6 * np.exp(-range_m / 700.0) + noise
    clipped = np.where((beta > threshold) & (range_m < 4000.0), beta, 0.0).astype(np.float32)
    nothing = np.full((24, 3), np.nan, np.float32)
    log = replace(
        made,
        instrument="Vaisala CL51",
        time=np.datetime64("2026-06-21T09:00:00", "us") + np.arange(24) * np.timedelta64(300, "s"),
        range_m=range_m,
        range_resolution_m=10.0,
        beta=clipped,
        cloud_base_m=nothing,
        vertical_visibility_m=nothing[:, 0],
        is_fog=np.zeros(24, bool),
        is_precipitation=np.zeros(24, bool),
        alarms=((),) * 24,
    )
    path = tmp_path / "C6062109.DAT"
    path.write_bytes(vaisala_cl.encode_file(log))

    assert main(["layers", "--json", "--latitude", "48", "--longitude", "11", str(path)]) == 0

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 24
    (block,) = instruments.decode(path.read_bytes()).blocks
    assert np.isfinite(block.clipped_from_m).all()
    edges_m = block.clipped_from_m.tolist()
    # Weak tops within the signal that is left are the retrieval's to judge; the edge of the zeros is none of them.
    near = [
        (h, edge) for each, edge in zip(found, edges_m, strict=True) for h in each["candidates_m"] if h > edge - 100
    ]
    assert near == []
