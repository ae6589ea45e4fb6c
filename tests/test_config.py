from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config import Config, load, loading, with_overrides
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.sites import load_sites, sites_of


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def all_keys() -> list[tuple[str, str, Any]]:
    return [
        (section, key.name, getattr(getattr(Config(), section), key.name))
        for section, kind in get_type_hints(Config).items()
        for key in dataclasses.fields(kind)
    ]


def test_later_files_change_only_what_they_name(tmp_path: Path) -> None:
    config = load(written(tmp_path, "[kafka]\npartitions = 150\n"))

    assert config.kafka.partitions == 150
    assert dataclasses.replace(config.kafka, partitions=load().kafka.partitions) == load().kafka


def test_an_override_wins_over_every_file(tmp_path: Path) -> None:
    config = load(written(tmp_path, "[kafka]\npartitions = 150\n"), overrides=["kafka.partitions=7"])

    assert config.kafka.partitions == 7


def test_an_override_may_be_a_bare_word() -> None:
    assert load(overrides=["kafka.bootstrap_servers=node-1:9092"]).kafka.bootstrap_servers == "node-1:9092"


def test_overriding_a_loaded_configuration_leaves_it_as_it_was() -> None:
    before = load()

    assert with_overrides(before, ["broker.brokers=2"]).broker.brokers == 2
    assert before.broker.brokers == load().broker.brokers


@given(st.sampled_from(all_keys()))
def test_an_override_with_the_present_value_changes_nothing(key: tuple[str, str, Any]) -> None:
    section, name, value = key
    spelled = (
        str(value).lower() if isinstance(value, bool) else repr(list(value) if isinstance(value, tuple) else value)
    )

    assert with_overrides(Config(), [f"{section}.{name}={spelled}"]) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[kafka]\npartition = 5\n", r"unknown key kafka\.partition; did you mean 'partitions'\?"),
        ("[kafak]\npartitions = 5\n", r"unknown section \[kafak\]; did you mean 'kafka'\?"),
        ("[kafka]\npartitions = '50'\n", r"kafka\.partitions must be a whole number, got '50'"),
        ("[kafka]\npartitions = true\n", r"kafka\.partitions must be a whole number, got True"),
        ("[kafka]\nfiles_topic = 5\n", r"kafka\.files_topic must be a text, got 5"),
        ("[kafka]\npartitions = 0\n", r"kafka\.partitions must be at least 1, got 0"),
        ("[kafka]\nmax_message_bytes = -1\n", r"kafka\.max_message_bytes must be between 1 and 900000000, got -1"),
        ("[broker]\nheap_mb = 0\n", r"broker\.heap_mb must be at least 128, got 0"),
        ("[edge]\npoll_s = inf\n", r"edge\.poll_s must be a finite number, got inf"),
        ("[edge]\npoll_s = 60_000\n", r"edge\.poll_s must be above 0, 3600 at most, got 60000"),
        ("[edge]\nrewritten_settle_s = 1e9\n", r"edge\.rewritten_settle_s must be .* 86400 at most, got 1000000000"),
        ("[layers]\nmin_snr = nan\n", r"layers\.min_snr must be a finite number, got nan"),
        ("[layers]\nmin_snr = -1\n", r"layers\.min_snr must be 0 or more, got -1"),
        ("[layers]\nmin_strength = -0.1\n", r"layers\.min_strength must be between 0 and 1, got -0\.1"),
        ("[layers]\ndilations_m = [200, inf]\n", r"layers\.dilations_m must be a finite number, got inf"),
        ("[layers]\ndilations_m = [200, 30_000]\n", r"layers\.dilations_m must be widths of 30 to 3000 m"),
        ("[layers]\nnight_ceiling_m = 0.8\n", r"layers\.night_ceiling_m must be metres, 100 to 10000, got 0\.8"),
        ("[layers]\nceiling_growth_m_per_h = -1\n", r"layers\.ceiling_growth_m_per_h must be above 0, .*, got -1"),
        ("[layers]\nceiling_opens_after_sunrise_s = 1e9\n", r"ceiling_opens_after_sunrise_s must be within 12 hours"),
        ("[layers]\nreset_gap_s = -1\n", r"layers\.reset_gap_s must be at least layers\.averaging_s, got -1"),
        ("kafka = 5\n", r"\[kafka\] must be a table of keys, got 5"),
        ("[kafka\n", r"mine\.toml is not valid TOML: .*line 1"),
    ],
)
def test_a_wrong_file_says_what_would_be_right(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(written(tmp_path, text))


def test_a_file_may_begin_with_the_mark_that_windows_editors_write(tmp_path: Path) -> None:
    assert load(written(tmp_path, "\ufeff[kafka]\npartitions = 7\n")).kafka.partitions == 7


def test_a_wrong_key_names_the_file_it_stands_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml: unknown key"):
        load(written(tmp_path, "[kafka]\npartition = 5\n"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot read configuration nowhere\.toml: No such file"):
        load("nowhere.toml")


@pytest.mark.parametrize("override", ["kafka.partitions", "partitions=5", "=5", "kafka.=5"])
def test_a_malformed_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"override must be section\.key=value"):
        load(overrides=[override])


HOSTILE = [
    *('""', "-1", "1e999", "nan", "true", "[]", "{}", '["a"]', "2026-01-01", "'", "a\nb", "1\n[x]\ny = 2", "~nobody/x"),
    *("9" * 5_000, "1" + "0" * 400, "1" + "0" * 30, "[" * 5_000, '"a\\u0000b"', "\udcff"),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_whatever_an_override_says_is_taken_or_refused_by_name(value: str) -> None:
    for section, name, _ in all_keys():
        try:
            with_overrides(Config(), [f"{section}.{name}={value}"])
        except ConfigError as error:
            assert name in str(error) or "training.sigma_low and sigma_high" in str(error)
            assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (f"stream.max_files_per_batch=1{'0' * 30}", r"max_files_per_batch must be at most 2147483647, got 1000"),
        (f"layers.min_snr=1{'0' * 400}", r"layers\.min_snr must be at most 2147483647"),
        ('stream.directory="a\\u0000b"', r"stream\.directory must be a text of Unicode without NUL"),
        ("stream.directory=~nobody-here/x", r"stream\.directory must be a path, .* nobody here is called so"),
        ("ct.seed=-1", r"ct\.seed must be 0 or more, got -1"),
        ("kafka.partitions=5\nx = 3", r"kafka\.partitions must be a whole number, got '5\\nx = 3'"),
        ("stream.directory=", r"stream\.directory must be a folder, got ''"),
        ("edge.directory='  '", r"edge\.directory must be a folder, got '  '"),
        ("broker.directory=", r"broker\.directory must be a folder, got ''"),
        ("kafka.bootstrap_servers=localhost", r"bootstrap_servers must be host:port of brokers, separated by commas"),
        ("kafka.bootstrap_servers=https://kafka:9092", r"bootstrap_servers must be host:port of brokers"),
        ("kafka.bootstrap_servers='a:9092;b:9092'", r"bootstrap_servers must be host:port of brokers"),
        ("kafka.bootstrap_servers='a:9092,'", r"bootstrap_servers must be host:port of brokers"),
        ("kafka.files_topic=", r"kafka\.files_topic must be a topic's name: up to 249 letters"),
        ("kafka.files_topic=..", r"kafka\.files_topic must be a topic's name"),
        ("kafka.sites_topic=ceilometer/sites", r"kafka\.sites_topic must be a topic's name"),
        ("kafka.sites_topic=ceilometer.products", r"sites_topic must be another topic than kafka\.products_topic"),
        ("kafka.sites_topic=ceilometer_files", r"sites_topic must be another topic than kafka\.files_topic"),
    ],
)
def test_a_value_that_would_fail_far_from_here_is_refused(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(overrides=[override])


@pytest.mark.parametrize(
    "said",
    ["node-1:9092", "a.example.org:9092, b_2:9093", "[::1]:9092", "[fe80::1%eth0]:9092", "SASL_SSL://10.0.0.1:443"],
)
def test_brokers_are_named_as_kafkas_clients_take_them(said: str) -> None:
    assert load(overrides=[f"kafka.bootstrap_servers='{said}'"]).kafka.bootstrap_servers == said


def test_bytes_of_a_batch_may_be_more_than_32_bits_tell() -> None:
    assert load(overrides=["stream.max_bytes_per_batch=8_000_000_000"]).stream.max_bytes_per_batch == 8_000_000_000


def test_no_topic_stands_where_a_site_could_write_into_it() -> None:
    products = "kafka.products_topic=ceilometer.files.products"

    assert load(overrides=[products]).kafka.products_topic == "ceilometer.files.products"
    with pytest.raises(ConfigError, match=r"kafka\.products_topic must be no topic below ceilometer\.files\."):
        load(overrides=[products, "kafka.topic_per_site=true"])


@pytest.mark.parametrize("text", ["[kafka]\npartitions = " + "9" * 5_000, "[kafka]\nx = " + "[" * 5_000])
def test_a_file_that_no_parser_takes_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml "):
        load(written(tmp_path, text))
    with pytest.raises(ConfigError, match=r"mine\.toml "):
        load_sites(written(tmp_path, text))


def test_without_a_configuration_folder_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "conf_directory", lambda: None)

    assert load() == Config()


@pytest.mark.parametrize("name", ["absent", "mine.toml"])
def test_a_named_folder_that_is_none_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    written(tmp_path, "")
    monkeypatch.setenv("IPDSF_CONF", str(tmp_path / name))

    with pytest.raises(ConfigError, match=rf"IPDSF_CONF is '.*{name}', which is no folder"):
        load()


def test_nothing_is_taken_from_another_folder_than_the_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "[kafka]\npartitions = 7\n")
    monkeypatch.setenv("IPDSF_CONF", str(tmp_path))

    config = load("conf/local.toml", tmp_path / "mine.toml")

    assert config.kafka.partitions == 7
    assert Path(config.sites.file) == tmp_path / "sites.toml"
    with pytest.raises(ConfigError, match=rf"cannot read the table of sites {tmp_path}/sites\.toml: No such file"):
        sites_of(config)
    (tmp_path / "sites.toml").write_text("[oslo]\nlatitude_deg = 59.94\nlongitude_deg = 10.72\n")
    assert list(sites_of(config)) == ["oslo"]


def test_the_table_of_sites_lies_beside_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '[sites]\nfile = "stations.toml"\n')
    monkeypatch.chdir("/")

    assert Path(load(path).sites.file) == tmp_path / "stations.toml"


def test_no_configuration_can_be_changed_after_it_was_loaded() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().kafka.partitions = 5  # type: ignore[misc]
