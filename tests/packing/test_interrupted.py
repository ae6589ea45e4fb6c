"""A packing that is killed at any moment, a full disk, a lost manifest: nothing that was packed is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ipdsf_spark.config import load
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import Manifest
from ipdsf_spark.packing.pack import PackReport
from ipdsf_spark.packing.reading import RowGroups
from ipdsf_spark.packing.rebuilding import rebuild
from ipdsf_spark.packing.reference import reference_of
from ipdsf_spark.storage.files import LocalFiles
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import locked
from tests.packing.conftest import SavePhantom

pytestmark = pytest.mark.training
Pack = Callable[..., PackReport]


@pytest.fixture(scope="module")
def volumes(phantom_file: SavePhantom, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four patients."""
    folder = tmp_path_factory.mktemp("volumes")
    return [phantom_file(folder / f"{number}.nii.gz", number, 24) for number in range(4)]


@pytest.fixture
def begun(packed_here: Pack, volumes: list[Path], tmp_path: Path) -> Path:
    """A storage array with a data set of two volumes."""
    packed_here(tmp_path / "st", train=volumes[:2], names=("a", "b"))
    return tmp_path / "st"


def cubes_read(root: Path) -> int:
    found = reference_of(load(overrides=[f"storage.root={root}"]), "d")
    number = sum(RowGroups.of(found.files).rows)
    assert number == found.num_cubes
    return number


def manifest_of(root: Path) -> Path:
    return root / "cubes" / "d" / "dataset.json"


def killed_at(number: int, run: Callable[[], object]) -> int:
    """Run in a process that is killed at its `number`-th change of the storage array; returns how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **named)

        return call

    try:
        for owner, name in (
            (os, "replace"),
            (os, "rename"),
            (os, "fsync"),
            (os, "rmdir"),
            (os, "unlink"),
            (Path, "mkdir"),
            (shutil, "rmtree"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        run()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_packing_killed_at_any_change_of_the_storage_array_loses_nothing_and_is_completed_by_the_next(
    packed_here: Pack, begun: Path, volumes: list[Path], tmp_path: Path, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = {"train": volumes[:2], "test": volumes[2:3], "names": ("a", "b", "c")}
    monkeypatch.setattr(os, "fsync", lambda number: None)
    kills = 0
    for number in range(1, 100):
        root = tmp_path / f"killed-{number}"
        if not is_first:
            shutil.copytree(begun, root)
        ended = killed_at(number, lambda root=root: packed_here(root, **again))
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        kills += 1
        if is_first and not manifest_of(root).exists():
            with pytest.raises(InputError, match="`ipdsf ct pack`"):
                cubes_read(root)
        else:
            assert cubes_read(root) > 0
        packed_here(root, **again)
        studies = json.loads(manifest_of(root).read_text())["studies"]
        assert set(studies) == {"a", "b", "c"}
        files = {p.name for p in (root / "cubes" / "d" / "cubes").glob("*.parquet")}
        assert files == {study["file"] for study in studies.values()}
        assert cubes_read(root) > 0
        assert not list((root / "cubes" / "d").glob("*.part")) + list((root / "cubes" / "d").glob(".staging"))
    assert kills > 15


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4, 5])
def test_a_full_disk_while_publishing_is_named_and_the_next_packing_completes_it(
    packed_here: Pack, begun: Path, volumes: list[Path], monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    before = cubes_read(begun)
    calls = iter(range(100))  # 0 is the lock

    def full(number: int) -> None:
        if next(calls) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*: No space left on device"):
        packed_here(begun, train=volumes[2:3], names=("c",))
    assert cubes_read(begun) == before
    assert (begun / "cubes" / "d" / ".staging").exists() == (fails_at > 1)

    report = packed_here(begun, train=volumes[2:3], names=("c",))
    is_completed = "completed an interrupted packing: c" in " ".join(report.remarks)
    assert (is_completed, bool(report.added)) == (fails_at > 1, fails_at == 1)
    assert cubes_read(begun) > before


@pytest.mark.parametrize("left", ["nothing", "dataset.json.part", ".dataset.json.part", "damaged"])
def test_a_data_set_without_its_manifest_is_never_packed_over_and_can_be_rebuilt_to_the_letter(
    packed_here: Pack, begun: Path, volumes: list[Path], left: str
) -> None:
    place = manifest_of(begun)
    whole = place.read_text()
    if left == "damaged":
        place.write_text(whole[:-50])
    else:
        place.rename(place.with_name(left if left != "nothing" else "elsewhere.json"))
    before = sorted(p.name for p in (begun / "cubes" / "d" / "cubes").iterdir())

    for use in (lambda: packed_here(begun, train=volumes[2:3]), lambda: cubes_read(begun)):
        with pytest.raises(InputError, match=r"dataset\.json"):
            use()
    assert sorted(p.name for p in (begun / "cubes" / "d" / "cubes").iterdir()) == before

    manifest, left_out = rebuild(LocalFiles(), location_of(str(begun / "cubes" / "d")), "d")
    assert manifest == Manifest.from_json(whole, origin="before")
    assert [reason for reason in left_out if "dataset.json" not in reason] == []
    assert Manifest.from_json(place.read_text(), origin="after") == manifest
    assert cubes_read(begun) > 0


def test_a_rebuilt_manifest_names_what_it_leaves_out_and_removes_nothing(begun: Path) -> None:
    cubes = begun / "cubes" / "d" / "cubes"
    cut = next(cubes.glob("a-*.parquet"))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (cubes / "foreign.parquet").write_bytes(b"PAR1")

    manifest, left_out = rebuild(LocalFiles(), location_of(str(begun / "cubes" / "d")), "d")

    assert list(manifest.studies) == ["b"]
    assert any(cut.name in reason and "bytes" in reason for reason in left_out)
    assert any("foreign.parquet: no record" in reason for reason in left_out)
    assert {cut.name, "foreign.parquet"} <= {p.name for p in cubes.iterdir()}
    assert cubes_read(begun) > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_a_parquet_file_cut_anywhere_is_named(begun: Path, share: float) -> None:
    cut = next((begun / "cubes" / "d" / "cubes").glob("a-*.parquet"))
    cut.write_bytes(cut.read_bytes()[: int(share * cut.stat().st_size)])

    with pytest.raises(InputError, match=cut.name):
        cubes_read(begun)


def test_a_packing_beside_another_is_refused_by_name(packed_here: Pack, begun: Path, volumes: list[Path]) -> None:
    with (
        locked(location_of(str(begun / "cubes" / "d")), "packing"),
        pytest.raises(InputError, match=rf"in use \(packing, process {os.getpid()} on"),
    ):
        packed_here(begun, train=volumes[2:3])
    assert set(packed_here(begun, train=volumes[2:3]).manifest.studies) > {"a", "b"}
