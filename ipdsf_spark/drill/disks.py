"""Full disks: small ones of their own, filled to the last byte by somebody else."""

from __future__ import annotations

from pathlib import Path

from ipdsf_spark.archive.reading import newest_of, read_revisions
from ipdsf_spark.drill.account import Read
from ipdsf_spark.drill.ground import TOLD, Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.drill.small_disks import filled
from ipdsf_spark.errors import InputError


def archive_full(ground: Ground) -> Found:
    """The archive's disk is full: live products go on, and the archive catches up once there is room."""
    job = ground.stream()
    warmed_up(ground, job)
    filler = filled(ground.archive_disk)
    ground.await_all(ground.send(2 * TURNS), job=job)
    ground.deadline.until(lambda: bool(job.said("is not written")), "a word about the archive")
    filler.unlink()
    ground.mark()
    ground.deadline.until(
        lambda: not archived(ground.archive_disk).account(ground.sent).lost, "the archive to catch up"
    )
    caught_up_s = ground.since_mark_s()
    live = ground.found(None, caught_up_s, job.said("archive"))
    kept = archived(ground.archive_disk).account(ground.sent)
    return live.with_remark(
        f"live products went on while it was full; archived afterwards: {kept.lost} lost, {kept.repeated} repeated"
    )


def checkpoint_full(ground: Ground) -> Found:
    """The checkpoint's disk is full: the job stops, and goes on where it was once there is room."""
    job = ground.stream()
    warmed_up(ground, job)
    filler = filled(ground.checkpoint_disk)
    during = ground.send(TURNS)
    stopped_s = ground.deadline.until(lambda: not job.is_running, "the job to stop", within_s=400.0)
    told, code = job.said("No space left|space left on device")[-2:] or job.said(TOLD), job.ended_with
    filler.unlink()
    ground.mark()
    job.start()
    after = ground.send(TURNS)
    found = ground.recovered(during, after, job=job)
    return found.with_told(*told).with_remark(
        f"the job ended after {stopped_s:.0f} s with code {code}; started again when there was room"
    )


def archived(archive: Path) -> Read:
    """What the archive holds, as it would be read from the topic; nothing before there is one."""
    read = Read()
    try:
        rows = read_revisions(archive)
    except InputError:
        return read
    for value in newest_of(rows)["value"]:
        read.product(value.encode() if isinstance(value, str) else value)
    return read
