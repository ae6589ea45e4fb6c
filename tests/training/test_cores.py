"""Workers of one machine and its cores."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.training.cores import share_of_cores


@given(cores=st.sets(st.integers(0, 255), min_size=1, max_size=64), size=st.integers(1, 70))
def test_workers_get_disjoint_shares_of_the_same_number_of_neighbouring_cores(cores: set[int], size: int) -> None:
    shares = [share_of_cores(cores, rank, size) for rank in range(size)]

    assert {len(share) for share in shares} == {len(cores) // size}
    assert len(set().union(*shares)) == size * (len(cores) // size)
    assert set().union(*shares) <= cores
    ordered = sorted(cores)
    assert all(not s or ordered[ordered.index(min(s)) : ordered.index(max(s)) + 1] == sorted(s) for s in shares)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no processes to cores")
def test_threads_that_start_later_keep_to_the_share() -> None:
    script = (
        "import os, threading\n"
        "from ipdsf_spark.training.cores import keep_to_share_of_cores\n"
        "keep_to_share_of_cores()\n"
        "found = []\n"
        "thread = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(*sorted(found[0]))"
    )
    cores = sorted(os.sched_getaffinity(0))
    size = len(cores)
    environment = {**os.environ, "HOROVOD_LOCAL_RANK": str(size - 1), "HOROVOD_LOCAL_SIZE": str(size)}

    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert [int(core) for core in said.stdout.split()] == [cores[-1]]
