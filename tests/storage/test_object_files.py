"""A bucket is a storage array like any other, but for what an object store cannot do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.fetched import fetched, require_volume
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.object_store import ObjectFiles
from tests.object_store import serving
from tests.storage.any_store import require_fetched, require_one_writer, require_replaced_in_one_step

ROOT = location_of("s3a://array/at 50%41 ä/cubes")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, serving(patch, "array") as url:
        yield url


@pytest.fixture
def files(store: str) -> Iterator[ObjectFiles]:
    yield ObjectFiles()
    ObjectFiles().delete(ROOT)


def test_what_is_written_is_there_whole_and_is_replaced_in_one_step(files: ObjectFiles) -> None:
    require_replaced_in_one_step(files, ROOT)


def test_folders_are_what_has_something_in_it(files: ObjectFiles) -> None:
    files.make_folder(ROOT / "empty")
    assert not files.exists(ROOT / "empty")
    files.write(ROOT / "x" / "deep" / "file", b"1")
    assert files.folders(ROOT) == ["x"]
    assert files.exists(ROOT / "x")

    files.delete_if_empty(ROOT / "x")
    assert files.exists(ROOT / "x" / "deep" / "file")
    files.delete(ROOT / "x")
    assert files.folders(ROOT) == []
    files.delete(ROOT / "x")  # nothing to be done


def test_a_bucket_that_is_not_there_or_a_store_that_does_not_answer_is_named(
    files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"cannot write s3://no-bucket/x.*NO_SUCH_BUCKET|NoSuchBucket"):
        files.write(location_of("s3://no-bucket/x"), b"1")
    with pytest.raises(InputError, match=r"s3a://bucket/x: credentials stand in AWS_ACCESS_KEY_ID"):
        files.read(location_of("s3a://tester:secret@bucket/x"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(InputError, match="cannot reach s3a://array/"):
            files.exists(ROOT)


def test_of_two_writers_without_the_kernels_locks_one_gives_way_and_the_dead_are_not_waited_for(
    files: ObjectFiles,
) -> None:
    require_one_writer(files, ROOT)


def test_volumes_by_url_are_files_for_as_long_as_they_are_worked_on(files: ObjectFiles) -> None:
    require_fetched(files, ROOT)


def test_volumes_are_read_from_no_other_file_system(tmp_path: Path) -> None:
    for url in ("https://host/x.nii.gz", "gs://bucket/x"):
        with pytest.raises(InputError, match=r"hdfs:// URLs"):
            require_volume(url)
    (tmp_path / "a b.nii").touch()
    with fetched(f"{(tmp_path / 'a b.nii').as_uri()}") as here:
        assert here == tmp_path / "a b.nii"
