"""Who sees which cube when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.errors import InputError
from ipdsf_spark.training.schedule import order_of_epoch, require_one_step, share_of

numbers = st.integers(1, 300)
sizes = st.integers(1, 5)
batches = st.integers(1, 7)


def epoch(num_cubes: int, batch: int, size: int, *, position: int = 0, seed: int = 0) -> list[list[np.ndarray]]:
    """Steps of an epoch, each with the shares of all workers."""
    order = order_of_epoch(num_cubes, seed=seed, epoch=2)
    steps = []
    while True:
        shares = [share_of(order, position, batch=batch, rank=rank, size=size) for rank in range(size)]
        if any(share is None for share in shares):
            assert all(share is None for share in shares)  # every worker takes the same number of steps
            return steps
        steps.append(shares)
        position += batch * size


@given(numbers, batches, sizes)
def test_shards_are_disjoint_and_leave_out_less_than_one_step(num_cubes: int, batch: int, size: int) -> None:
    seen = [index for step in epoch(num_cubes, batch, size) for share in step for index in share]

    assert len(seen) == len(set(seen)) == num_cubes - num_cubes % (batch * size)
    assert set(seen) <= set(range(num_cubes))


@given(numbers, batches, sizes)
def test_k_workers_with_batch_b_see_what_one_worker_with_batch_k_times_b_sees(
    num_cubes: int, batch: int, size: int
) -> None:
    together = [set(np.concatenate(step)) for step in epoch(num_cubes, batch, size)]
    alone = [set(step[0]) for step in epoch(num_cubes, batch * size, 1)]

    assert together == alone


@given(st.integers(60, 300), batches, sizes, st.integers(0, 20))
def test_a_resumed_epoch_goes_on_with_the_next_cube(num_cubes: int, batch: int, size: int, done: int) -> None:
    whole = epoch(num_cubes, batch, size)
    rest = epoch(num_cubes, batch, size, position=min(done, len(whole)) * batch * size)

    for a, b in zip(whole[done:], rest, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_epoch_has_its_own_order_and_leaves_out_other_cubes() -> None:
    first, second = (order_of_epoch(100, seed=0, epoch=number) for number in (0, 1))

    assert not np.array_equal(first, second)
    assert set(first[96:]) != set(second[96:])
    assert np.array_equal(first, order_of_epoch(100, seed=0, epoch=0))


def test_too_few_cubes_for_a_step_are_named() -> None:
    require_one_step(16, batch=8, size=2)
    with pytest.raises(InputError, match=r"15 cubes do not fill one step of 2 worker\(s\) with 8 each"):
        require_one_step(15, batch=8, size=2)
