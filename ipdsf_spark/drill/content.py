"""Faults of what is sent: files that no instrument would write, and too many at once."""

from __future__ import annotations

from typing import Final

from ipdsf_spark.drill.ground import ALL_AT_ONCE, Ground
from ipdsf_spark.drill.jobs import TURNS
from ipdsf_spark.drill.outcome import Found

BACKLOG: Final = 50  # times what was sent before


def poison_10(ground: Ground) -> Found:
    """One file of ten is garbage."""
    return _poison(ground, every=10, turns=2 * TURNS)


def poison_100(ground: Ground) -> Found:
    """Every file is garbage."""
    return _poison(ground, every=1, turns=TURNS)


def _poison(ground: Ground, *, every: int, turns: int) -> Found:
    job = ground.stream()
    ground.mark()
    ground.await_all(ground.send(turns, recorded=ground.recorded(every_broken=every)), job=job)
    caught_up_s = ground.since_mark_s()
    reported = [line for line in ground.answer_of("quarantine", "report") if "Ceilometer" in line or "message" in line]
    return ground.found(None, caught_up_s, [*job.said("COUNTS|ERROR"), *reported], "the job ran on")


def backlog(ground: Ground) -> Found:
    """The job was away: 50 times what it had before waits for it."""
    job = ground.stream()
    ground.await_all(ground.send(1), job=job)
    before = len(ground.sent)
    job.stop()
    waiting = ground.send(BACKLOG, rate=ALL_AT_ONCE)
    ground.deadline.until(lambda: waiting.is_over, "the backlog to be written")
    ground.mark()
    job.start()
    ground.await_all(job=job)
    remark = f"{len(ground.sent) - before} files waited; counted from the start of the process"
    return ground.found(None, ground.since_mark_s(), job.said("^batch"), remark)
