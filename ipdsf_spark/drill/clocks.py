"""Clocks that are wrong, for one process and those that it starts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found

CLOCKED: Final = "clocked"
DAY_S: Final = 86_400
YEAR_S: Final = 31_557_600
# A clock that is wrong by as many seconds as stand in a file, for a process that is started with it.
WRONG_CLOCK: Final = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *ahead_s;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("WRONG_CLOCK_FILE"), O_RDONLY);
    void *held = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (held != MAP_FAILED) ahead_s = held;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, which, now);
    if (!failed && ahead_s && which == CLOCK_REALTIME) now->tv_sec += *ahead_s;
    return failed;
}
time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
"""


class WrongClock:
    """A clock that is wrong by as many seconds as are set, for processes with its environment.

    Args:
        folder: of the drill; the library is compiled there.

    Raises:
        DrillError: there is no C compiler, or no Linux.
    """

    def __init__(self, folder: Path) -> None:
        self._held = folder / "clock"
        self._held.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(compiled(folder)), "WRONG_CLOCK_FILE": str(self._held)}

    def set(self, ahead_s: int) -> None:
        """From now on the clock is ahead by so many seconds, or behind."""
        with self._held.open("r+b") as file:
            file.write(ahead_s.to_bytes(8, "little", signed=True))


def job_clock_wrong(ground: Ground) -> Found:
    """The clock of the job jumps a day ahead under load, and then two days back; sites send by the right one."""
    clock = WrongClock(ground.folder)
    job = ground.stream(network=CLOCKED, environment=clock.environment)
    warmed_up(ground, job)
    before = ground.send(TURNS)
    clock.set(DAY_S)
    ground.mark()
    ground.await_back(job)
    ground.await_all(before, ground.send(3 * TURNS), job=job)
    ground.deadline.until(lambda: bool(job.said("ahead of Kafka's")), "a word about a clock that is ahead")
    between = ground.send(TURNS)
    clock.set(-DAY_S)
    ground.mark()
    ground.await_back(job)
    ground.await_all(between, ground.send(3 * TURNS), job=job)
    ground.deadline.until(lambda: bool(job.said("behind Kafka's")), "a word about a clock that is behind")
    found = ground.recovered(ground.send(TURNS), job=job)
    clock.set(0)
    return found.with_remark("a day ahead, then a day behind; the job ran on")


def compiled(folder: Path) -> Path:
    """The wrong clock as a library.

    Raises:
        DrillError: there is no C compiler, or no Linux.
    """
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(WRONG_CLOCK)
    compiler = shutil.which("cc")
    if compiler is None:
        raise DrillError("a clock cannot be put wrong for one process here: that takes a C compiler")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    if done.returncode:
        raise DrillError(f"a clock cannot be put wrong for one process here: {done.stderr.strip()[:300]}")
    return library
