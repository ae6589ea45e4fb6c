"""One text, one place: whatever characters a path has, Python and Hadoop mean the same folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.cli.ct_train import model_folder
from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.storage.location import location_of, mounted, require_name

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)


@given(names=st.lists(NAMES, min_size=1, max_size=3))
def test_a_plain_path_is_taken_by_the_letter_and_never_encoded(names: list[str]) -> None:
    path = Path("/x").joinpath(*names)
    place = location_of(str(path), "cubes")

    assert place.path == path / "cubes"
    assert place.url == f"file://{path}/cubes"


@given(names=st.lists(NAMES, min_size=1, max_size=3))
def test_a_file_url_names_the_path_it_encodes(names: list[str]) -> None:
    path = Path("/x").joinpath(*names)

    assert location_of("file://" + quote(str(path))) == location_of(str(path))


@pytest.mark.parametrize("form", ["file:///a/b", "file:/a/b", "file://localhost/a/b", "FILE:///a/b"])
def test_every_form_of_a_file_url_is_the_same_path(form: str) -> None:
    assert location_of(form).path == Path("/a/b")


def test_the_home_folder_is_meant_by_a_tilde_and_a_relative_path_begins_here() -> None:
    assert location_of("~/x y").path == Path.home() / "x y"
    assert location_of("x#1").path == Path.cwd() / "x#1"


def test_other_file_systems_have_no_path_and_show_no_password() -> None:
    place = location_of("s3a://key:secret@bucket/a b/", "cubes")

    assert (place.url, place.path) == ("s3a://key:secret@bucket/a b/cubes", None)
    assert "secret" not in str(place)
    with pytest.raises(InputError, match="names a host"):
        location_of("file://server/share")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/a", "../a", "a b", "-x", "ä", "a" * 101, "a\n"])
def test_a_name_is_a_folder_of_its_own_and_nothing_else(name: str) -> None:
    with pytest.raises(InputError, match="name of a model"):
        require_name(name, of="model")


def test_ordinary_names_are_names() -> None:
    assert [require_name(n, of="model") for n in ("chest", "chest-2.1_b")] == ["chest", "chest-2.1_b"]


@pytest.mark.parametrize("url", ["hdfs://host:9000/ipdsf", "s3a://bucket/ipdsf", "dbfs://x/y"])
def test_state_is_kept_in_a_mounted_folder_and_a_url_is_refused_by_the_name_of_its_key(url: str) -> None:
    with pytest.raises(ConfigError, match=r"stream\.directory must be a folder"):
        mounted(url, "stream.directory")


def test_a_file_url_is_the_folder_that_it_names() -> None:
    assert mounted("file:///srv/ipdsf%20stream", "stream.directory") == Path("/srv/ipdsf stream")


def test_no_refusal_shows_a_password() -> None:
    secret = "s3a://key:qzxwjv@bucket/a"
    config = load(overrides=[f"storage.root={secret}"])
    for refuse in (lambda: mounted(secret, "stream.directory"), lambda: model_folder(config, "m")):
        with pytest.raises(ConfigError) as refused:
            refuse()
        assert "s3a://bucket/a" in str(refused.value)
        assert "qzxwjv" not in str(refused.value)
