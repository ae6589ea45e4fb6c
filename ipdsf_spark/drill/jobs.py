"""Faults of the job's own processes."""

from __future__ import annotations

import psutil

from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import ALL_AT_ONCE, Ground
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.drill.verbs import Verb

TURNS = 6  # files of every site before, and after


def warmed_up(ground: Ground, job: Verb) -> None:
    """Every site has sent its first file and is known: what comes next meets a job that works."""
    ground.await_all(ground.send(1), job=job)


def driver_killed(ground: Ground) -> Found:
    """The whole process group is gone in mid-batch; a supervisor starts it again."""
    job = ground.stream()
    warmed_up(ground, job)
    known = len(ground.sent)
    before = ground.send(2 * TURNS, rate=ALL_AT_ONCE)
    ground.await_accounted(known, job)
    ground.deadline.until(lambda: before.is_over, "the end of sending")
    job.kill()
    unread = ground.account().lost
    ground.mark()
    job.start()
    after = ground.send(TURNS)
    return ground.recovered(after, job=job, remark=f"{unread} files had no height when it was killed")


def python_worker_killed(ground: Ground) -> Found:
    """A worker of Python is killed, as the kernel does where memory is short."""
    job = ground.stream(is_supervised=True)
    warmed_up(ground, job)
    before = ground.send(TURNS)
    workers = python_workers(job)
    if not workers:
        raise DrillError("the job has no Python worker to kill")
    for worker in workers:
        worker.kill()
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job)
    return found.with_remark(
        f"{len(workers)} worker process(es) killed; the job ended {ground.num_restarts} time(s) and was started again"
    )


def python_workers(job: Verb) -> list[psutil.Process]:
    """Forked workers: the children of the daemon, which is the child of the Java machine."""
    found = []
    for process in job.children():
        try:
            parent = process.parent()
            if parent is not None and is_python(process) and is_python(parent) and parent.pid != job.pid:
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_python(process: psutil.Process) -> bool:
    """Whether a process runs Python."""
    return "python" in process.name().lower()
