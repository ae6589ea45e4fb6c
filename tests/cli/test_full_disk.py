"""A full disk names no file, so verbs do: /dev/full is a file whose disk is always full."""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.cli import main as command

FULL = "/dev/full"
pytestmark = pytest.mark.skipif(not Path(FULL).exists(), reason="no /dev/full on this system")


def by_rows(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "b"]] * 10)


def by_a_copy(path: Path) -> None:
    with Path(__file__).open("rb") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)


def by_numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(100_000))


@pytest.mark.parametrize(
    "write",
    [lambda path: path.write_text("a"), lambda path: path.write_bytes(b"a"), by_rows, by_a_copy, by_numpy],
    ids=["text", "bytes", "rows", "copy", "arrays"],
)
def test_whatever_writes_a_file_its_name_is_told(
    write: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "score.csv"
    place.symlink_to(FULL)

    def run(args: argparse.Namespace) -> int:
        kept = Path(__file__).open("rb")  # noqa: SIM115 - open files that are only read are not meant
        write(place)
        kept.close()
        return 0

    module = types.ModuleType("full")
    module.run, module.add_arguments = run, lambda parser: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "full", module)
    monkeypatch.setitem(command.VERBS, "try", ("full", "for this test"))

    assert command.main(["try"]) == 1
    assert capsys.readouterr().err == f"ipdsf try: {place}: No space left on device\n"


def ipdsf(*words: str, stdout: int | io.IOBase = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    told = [sys.executable, "-m", "ipdsf_spark.cli", *words]
    return subprocess.run(told, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hours of an instrument."""
    folder = tmp_path_factory.mktemp("day")
    assert command.main(["simulate", "-o", str(folder), "--sites", "1", "--hours", "2"]) == 0
    return next(path for path in folder.iterdir() if path.is_dir() and path.name != "truth")


def test_products_that_find_no_room_are_named(day: Path, tmp_path: Path) -> None:
    files, sites = sorted(map(str, day.iterdir())), ["--set", f'sites.file="{day.parent / "sites.toml"}"']
    out = tmp_path / "air"
    out.mkdir()
    (out / f"{day.name}_air.csv").symlink_to(FULL)

    targets = ipdsf("targets", *files, "--site", day.name, *sites, "-o", FULL)
    air = ipdsf("air", *files, "--site", day.name, *sites, "-o", str(out))

    assert (targets.returncode, air.returncode) == (1, 1)
    assert targets.stderr.splitlines()[-1] == f"ipdsf targets: {FULL}: No space left on device"
    assert air.stderr.splitlines()[-1] == f"ipdsf air: {out / day.name}_air.csv: No space left on device"


def test_an_output_that_was_sent_to_a_full_disk_is_called_that(day: Path) -> None:
    files, sites = sorted(map(str, day.iterdir())), ["--set", f'sites.file="{day.parent / "sites.toml"}"']
    with Path(FULL).open("wb") as full:
        much = ipdsf("layers", *files, "--site", day.name, *sites, "--csv", stdout=full)
        little = ipdsf("layers", *files, "--site", day.name, *sites, stdout=full)

    for done in (much, little):
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "ipdsf layers: standard output: No space left on device"
