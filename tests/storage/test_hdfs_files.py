"""HDFS is a storage array like any other, read and written without a JVM of our own."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ipdsf_spark.errors import InputError, PrerequisiteError
from ipdsf_spark.storage import hdfs
from ipdsf_spark.storage.hdfs import HdfsFiles
from ipdsf_spark.storage.location import Location, location_of
from ipdsf_spark.storage.reach import files_of
from tests.hadoop import Hadoop
from tests.storage.any_store import require_fetched, require_one_writer, require_replaced_in_one_step

pytestmark = pytest.mark.slow


@pytest.fixture
def root(hadoop: Hadoop) -> Iterator[Location]:
    place = location_of(f"{hadoop.url}/at 50%41 #1? ä/cubes")
    yield place
    HdfsFiles().delete(place)


def test_what_is_written_is_there_whole_and_is_replaced_in_one_step(root: Location) -> None:
    require_replaced_in_one_step(files_of(root), root)


def test_folders_are_there_from_when_they_are_made_until_they_are_removed(root: Location) -> None:
    files = HdfsFiles()
    assert (files.files(root), files.folders(root)) == ({}, [])
    files.make_folder(root / "empty")
    files.make_folder(root / "empty")  # nothing to be done
    files.write(root / "x" / "deep" / "file", b"1")
    assert files.folders(root) == ["empty", "x"]

    files.delete_if_empty(root / "x")
    assert files.exists(root / "x" / "deep" / "file")
    files.delete_if_empty(root / "empty")
    files.delete(root / "x")
    assert files.folders(root) == []
    files.delete(root / "x")  # nothing to be done
    files.delete_if_empty(root / "x")


def test_what_has_come_into_an_empty_folder_meanwhile_is_not_removed_with_it(
    root: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = HdfsFiles()
    files.write(root / "x" / "lock", b"1")
    monkeypatch.setattr(files, "_listed", lambda place: iter(()))  # as it was when it was looked at

    with pytest.raises(InputError, match=r"cannot remove hdfs://.*/x"):
        files.delete_if_empty(root / "x")

    assert files.read(root / "x" / "lock") == b"1"
    assert files.read(location_of(f"{root}//x///lock")) == b"1"


def test_a_file_that_is_not_there_and_a_name_node_that_does_not_answer_are_named(root: Location) -> None:
    with pytest.raises(
        InputError, match=r"cannot read hdfs://.*/absent: File does not exist: /at 50%41 #1\? ä/cubes/absent$"
    ):
        HdfsFiles().read(root / "absent")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = location_of(f"hdfs://127.0.0.1:{unused.getsockname()[1]}/x")
        with pytest.raises(InputError, match=r"cannot reach hdfs://127\.0\.0\.1:\d+/x: .*refused"):
            HdfsFiles().exists(nobody)
    with pytest.raises(InputError, match=r"gs://bucket/x: .* hdfs:// are what is reached"):
        files_of(location_of("gs://bucket/x"))


def test_without_the_library_its_name_is_told(root: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    hdfs._client.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "hdfs_native", None)
    with pytest.raises(PrerequisiteError, match=r"install ipdsf-spark\[hdfs\]"):
        HdfsFiles().exists(root)


def test_a_cluster_is_found_by_the_configuration_of_hadoop(
    root: Location, hadoop: Hadoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    HdfsFiles().write(root / "file", b"1")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hadoop.conf))
    hdfs._client.cache_clear()

    assert HdfsFiles().read(location_of(f"hdfs://{hdfs.path_of(root)}/file")) == b"1"


def test_of_two_writers_one_gives_way_and_the_dead_are_not_waited_for(root: Location) -> None:
    require_one_writer(HdfsFiles(), root)


def test_volumes_by_url_are_files_for_as_long_as_they_are_worked_on(root: Location) -> None:
    require_fetched(HdfsFiles(), root)
