"""What a worker's failure becomes on its way to the person who began the training."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from horovod.common.exceptions import HorovodInternalError

from ipdsf_spark.cli.main import main
from ipdsf_spark.errors import ConfigError, InputError, IpdsfError, PrerequisiteError
from ipdsf_spark.training import history
from ipdsf_spark.training.failures import MARK, Overheard, WorkerError, WorkerTraceback, first_of, named, told

pytestmark = pytest.mark.training


def raising(error: BaseException) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        raise error

    return work


@pytest.mark.parametrize("kind", [InputError, ConfigError, PrerequisiteError, IpdsfError])
def test_a_named_error_of_a_worker_is_the_same_error_with_its_rank_and_host(
    kind: type[IpdsfError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node7")

    result = told(raising(kind("shard 3 is no whole Parquet file")), rank=2)

    with pytest.raises(IpdsfError) as raised:
        first_of([{"step": 1}, result])
    assert type(raised.value) is kind
    assert str(raised.value) == "shard 3 is no whole Parquet file (worker 2 on node7)"
    assert isinstance(raised.value.__cause__, WorkerTraceback)
    assert "in work" in str(raised.value.__cause__)  # the frame of the worker


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/data/x"), r"/data/x: No such file"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ModuleNotFoundError("no", name="petastorm"), "needs petastorm, which is not installed there"),
        (MemoryError(), "the machine has too little memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), "machine has too little"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "the GPU has too little memory"),
    ],
)
def test_what_the_command_names_for_one_alone_has_a_name_among_workers_too(error: Exception, words: str) -> None:
    with pytest.raises(IpdsfError, match=words):
        first_of([told(raising(error), rank=0)])


def test_too_little_memory_has_a_name_for_one_alone_and_other_errors_stay_what_they_are() -> None:
    with pytest.raises(IpdsfError, match=r"smaller training\.batch"), named():
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="shapes differ"), named():
        raise RuntimeError("shapes differ")


def test_the_worker_that_failed_is_told_and_not_those_that_missed_it() -> None:
    missed = told(raising(HorovodInternalError("shut down")), rank=0, is_consequence=lambda error: True)
    failed = [told(raising(InputError("the disk is full")), rank=rank) for rank in (2, 1)]

    with pytest.raises(InputError, match=r"the disk is full \(worker 1 on .*, and 1 more\)"):
        first_of([missed, *failed])


def test_an_error_that_nobody_named_keeps_its_traceback() -> None:
    with pytest.raises(WorkerError, match=r"KeyError: 'seed' \(worker 3") as raised:
        first_of([told(raising(KeyError("seed")), rank=3)])
    assert "in work" in str(raised.value.__cause__)
    with pytest.raises(KeyError):
        told(raising(KeyError("seed")), rank=3, tells_all=False)  # where others go on without it


def test_a_failure_on_the_standard_error_of_one_worker_is_kept_and_all_else_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told(raising(InputError("line one\nline two")), rank=1)
    spoken = capsys.readouterr().err
    passed_on = io.StringIO()
    said = Overheard(passed_on)

    def bring(text: str) -> None:
        thread = threading.Thread(target=lambda: [said.write(letter) for letter in text])
        thread.start()
        thread.join()

    said.write("[0]<stderr>:begun ")
    bring(f"[1]<stderr>:hello\n[1]<stderr>:{spoken}")
    said.write("and ended\n")

    assert passed_on.getvalue() == "[1]<stderr>:hello\n[0]<stderr>:begun and ended\n"
    assert [failure.text for failure in said.failures] == ["line one\nline two"]
    assert MARK not in passed_on.getvalue()
    with pytest.raises(InputError, match="line one"), said.named():
        raise RuntimeError("Horovod detected …:\nProcess name: 0\nExit code: -15\n")


def test_lines_and_failures_that_come_together_are_each_taken(capsys: pytest.CaptureFixture[str]) -> None:
    told(raising(InputError("the disk is full")), rank=1)
    spoken = capsys.readouterr().err
    passed_on = io.StringIO()
    said = Overheard(passed_on)
    num = said.write(text := f"first\n{spoken}[1]<stderr>:{MARK}half\nsecond\n{spoken}third\n")

    assert num == len(text)
    assert passed_on.getvalue() == f"first\n[1]<stderr>:{MARK}half\nsecond\nthird\n"
    assert [failure.text for failure in said.failures] == ["the disk is full"] * 2


def test_the_result_is_that_of_the_first_worker_that_has_one() -> None:
    assert first_of([{}, {"step": 7}, {"step": 8}]) == {"step": 7}
    with pytest.raises(InputError, match="the disk is full"):
        first_of([{}, {"step": 7}, told(raising(InputError("the disk is full")), rank=2)])


def test_a_failure_that_was_cut_in_writing_and_a_line_without_an_end_go_on_as_they_are() -> None:
    passed_on = io.StringIO()
    said = Overheard(passed_on)
    cut = f"[1]<stderr>:{MARK}" + '{"text": "half'

    with said.named():
        said.write(f"{cut}\nthe last word")

    assert passed_on.getvalue() == f"{cut}\nthe last word\n"
    assert said.failures == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (137, "worker 1 was ended by SIGKILL; a system short of memory"),
        (-9, "by SIGKILL"),
        (3, "with exit code 3"),
        (None, "worker 1 was lost with its executor"),
    ],
)
def test_a_worker_that_ended_without_a_word_is_told_by_how_it_ended(
    code: int | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdsf_spark.training.failures.GRACE_S", 0.0)

    with pytest.raises(IpdsfError, match=words), Overheard(io.StringIO()).named():
        raise RuntimeError(f"Horovod detected that …:\nProcess name: 1\nExit code: {code}\n")
    missed = io.StringIO()
    monkeypatch.setattr("sys.stderr", missed)
    told(raising(HorovodInternalError("shut down")), rank=0, is_consequence=lambda error: True)
    said = Overheard(io.StringIO())
    said.write(missed.getvalue())
    with pytest.raises(IpdsfError, match=words), said.named():
        raise RuntimeError(f"Horovod detected that …:\nProcess name: 1\nExit code: {code}\n")
    with pytest.raises(RuntimeError, match="another"), Overheard(io.StringIO()).named():
        raise RuntimeError("another")


def test_an_error_in_the_thread_of_tensorboard_is_logged_and_any_other_goes_where_it_went_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    board = type("Writer", (threading.Thread,), {"__module__": "tensorboard.summary.writer.event_file_writer"})
    passed_on: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", passed_on.append)
    for name in ("first", "second"):  # of one process, as in an elastic training
        history.History(tmp_path / name).close()

    disk_full = OSError(28, "No space left on device")
    with caplog.at_level(logging.INFO):
        threading.excepthook(threading.ExceptHookArgs((OSError, disk_full, None, board())))
        threading.excepthook(threading.ExceptHookArgs((OSError, disk_full, None, threading.Thread())))

    assert caplog.text.count("TensorBoard cannot write: [Errno 28]") == 1
    assert [type(args.thread) for args in passed_on] == [threading.Thread]


def test_a_training_whose_model_folder_is_a_file_is_refused_by_name(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from ipdsf_spark.gan.checkpoint import save_checkpoint

    (tmp_path / "model").write_text("")
    with pytest.raises(InputError, match="cannot write to the folder of the model"):
        save_checkpoint(tmp_path / "model", None, {})  # type: ignore[arg-type]
    assert main(["ct", "train", "--cubes", str(tmp_path), "--task", "denoise", "-o", str(tmp_path / "model")]) == 1
