"""`ipdsf quarantine` as a person types it, every option against a real broker."""

from __future__ import annotations

import json
import re
import resource
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer

from ipdsf_spark.cli.main import main
from ipdsf_spark.cli.quarantine import _look, _written, time_ms
from ipdsf_spark.config import load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.kafka.dead_letter import dead_letter
from ipdsf_spark.kafka.quarantine import Quarantined
from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site
from tests.sender_stamps import topics_stamped_by_senders

NOW = datetime(2026, 6, 21, 12, tzinfo=UTC)
HOUR_MS = 3_600_000


class Command:
    """The verb with the topics of these tests."""

    def __init__(self, overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        self._settings = [word for override in overrides for word in ("--set", override)]
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        self._capsys.readouterr()
        assert main(["quarantine", *words, *self._settings]) == code
        told = self._capsys.readouterr()
        return told.out, told.err

    def ids(self, *words: str) -> list[str]:
        return [json.loads(line)["id"] for line in self("list", "--json", *words)[0].splitlines()]


@pytest.fixture(scope="module")
def overrides(kafka: EmbeddedKafka) -> list[str]:
    """Topics with three letters: a CL31 file that can be read now, noise of two days ago, another site's noise."""
    return filled(kafka, "command")


def filled(kafka: EmbeddedKafka, name: str, message: bytes = b"") -> list[str]:
    settings = [
        f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
        f"kafka.files_topic={name}.files",
        f"kafka.averages_topic={name}.averages",
        f"kafka.products_topic={name}.products",
        f"kafka.quarantine_topic={name}.bad",
        "kafka.partitions=1",
    ]
    config = load(overrides=settings)
    topics_stamped_by_senders(config.kafka, kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    now = round(time.time() * 1000)
    letters = [
        ("oslo", "old.dat", b"\x00\x01noise", "no message header", now - 48 * HOUR_MS),
        ("ny", "ny.dat", b"more noise", "unfinished message", now - HOUR_MS),
        ("oslo", "../../day.dat", message or b"\x01CL020136\x02", "unknown instrument", now),
    ]
    for number, (site, file, raw, reason, at_ms) in enumerate(letters):
        key, value, headers = dead_letter(
            topic=config.kafka.files_topic, partition=0, offset=number, site=site, file=file,
            sent_ms=at_ms - 5, stretches=[(0, len(raw), reason)], raw=raw, max_bytes=8_000_000,
        )  # fmt: skip
        producer.produce(config.kafka.quarantine_topic, value, key, headers=headers, timestamp=at_ms)
    producer.flush(20)
    return settings


@pytest.fixture(scope="module")
def cl51_day() -> bytes:
    """Genuine messages, one an hour."""
    site = Site("oslo", 59.94, 10.72, instrument="Vaisala CL51")
    day = simulate_day(site, date(2021, 6, 21), rng=np.random.default_rng(5), instrument="cl51", cadence_s=3600.0)
    return vaisala_cl.encode_file(day.profiles)


@pytest.fixture
def command(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(overrides, capsys)


OLD, NY, DAY = (f"command.files-0-{offset}" for offset in range(3))

pytestmark = [pytest.mark.kafka]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [OLD, NY, DAY]),
        ([NY], [NY]),
        (["--site", "oslo"], [OLD, DAY]),
        (["--reason", "noise"], []),
        (["--reason", "message"], [OLD, NY]),
        (["--since", "1d"], [NY, DAY]),
        (["--since", "90m", "--until", "30m"], [NY]),
        (["--until", "2020-01-01"], []),
        (["--limit", "2"], [NY, DAY]),
        (["--site", "oslo", "--since", "1d", "--limit", "1"], [DAY]),
    ],
    ids=" ".join,
)
def test_the_options_of_list_take_what_they_name(command: Command, words: list[str], expected: list[str]) -> None:
    assert command.ids(*words) == expected


def test_a_line_of_the_list_says_whose_file_it_is_how_large_and_why_it_is_there(command: Command) -> None:
    line = command("list", OLD)[0]

    assert re.fullmatch(rf"{OLD}  20..-..-..T..:..:..\+00:00  oslo  old.dat  7 bytes: no message header\n", line)
    assert command("list", "--site", "nobody")[0] == "nothing in quarantine fits\n"


def test_show_prints_reasons_and_bytes_and_writes_the_file_under_a_harmless_name(
    command: Command, tmp_path: Path
) -> None:
    text = command("show", DAY, "-o", str(tmp_path / "bad"))[0]

    assert "10 bytes from 0: unknown instrument" in text
    assert "01 43 4c 30 32 30 31 33 36 02" in text
    written = list((tmp_path / "bad").iterdir())
    assert [path.name for path in written] == [f"{DAY}-day.dat"]
    assert written[0].read_bytes() == b"\x01CL020136\x02"
    told = json.loads(command("show", DAY, "--json")[0])
    assert (told["value_bytes"], told["stretches"]) == (10, [[0, 10, "unknown instrument"]])


def test_the_report_adds_up_and_an_id_that_is_not_there_is_an_error(command: Command) -> None:
    lines = [json.loads(line) for line in command("report", "--json")[0].splitlines()]

    assert sum(line["num_letters"] for line in lines) == 3
    assert {line["reason"] for line in lines if line["site"] == "ny"} == {"unfinished message"}
    assert "site: reason" in command("report")[0].splitlines()[0]
    assert "nothing in quarantine is called x-1-1" in command("list", "x-1-1", code=1)[1]


def test_times_that_are_none_and_a_limit_of_zero_are_refused(command: Command) -> None:
    assert "--since must be like 2026-06-21" in command("list", "--since", "yesterday", code=2)[1]
    assert "--limit must be at least 1" in command("list", "--limit", "0", code=2)[1]


@pytest.mark.parametrize(("since", "until"), [("7d", "8d"), ("2026-06-21", "2026-06-21"), ("2027-01-01", "2026-01-01")])
def test_a_window_that_ends_before_it_begins_is_refused(
    since: str, until: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quarantine", "replay", "--since", since, "--until", until]) == 2
    assert f"--since must be before --until, is {since} and {until}" in capsys.readouterr().err


def test_times_are_utc_unless_they_say_otherwise() -> None:
    noon = round(NOW.timestamp() * 1000)
    assert time_ms("2026-06-21T12:00", "--since", NOW) == noon
    assert time_ms("2026-06-21T14:00+02:00", "--since", NOW) == noon
    assert time_ms("2026-06-21", "--since", NOW) == noon - 12 * HOUR_MS
    assert time_ms("12h", "--since", NOW) == noon - 12 * HOUR_MS
    assert time_ms(None, "--since", NOW) is None
    with pytest.raises(ConfigError):
        time_ms("12", "--until", NOW)


def test_a_replay_says_what_was_sent_and_what_is_still_rejected(
    kafka: EmbeddedKafka, cl51_day: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(filled(kafka, "resent", cl51_day), capsys)

    out, err = command("replay", "--check", "--dry-run")
    assert out.startswith("would send 1 file(s) again; ")
    assert json.loads(command("replay", "--check", "--json")[0]) == {
        "sent": 1, "profiles": 24, "still_rejected": 2, "replayed_before": 0, "same_file": 0, "dry_run": False,
    }  # fmt: skip
    assert err.count("not sent: ") == 2
    assert "resent.files-0-0  oslo  old.dat: " in err

    assert "1 left alone, replayed before" in command("replay", "--site", "oslo", "--check")[0]
    assert command("replay", "resent.files-0-1")[0] == "sent 1 file(s) again\n"
    assert "(replayed 20" in command("list", "resent.files-0-2")[0]
    assert command("replay", "--site", "ny", "--again")[0] == "sent 1 file(s) again\n"


def test_a_file_is_looked_at_with_its_sites_clock_as_in_the_stream(cl51_day: bytes) -> None:
    either = cl51_day.replace(b"2021-06-21 ", b"06/07/2021 ")
    sent_ms = round(datetime(2021, 9, 8, tzinfo=UTC).timestamp() * 1000)
    letter = Quarantined("f-0-1", "oslo", "a.dat", "", "f-0-1", sent_ms, sent_ms, 0, 1, "[]", "", "", "", 0, 1)
    oslo = Site("oslo", 59.94, 10.72)

    still = _look(either, letter, {"oslo": oslo})
    assert still.num_profiles == 0 and "Set the site's date_order" in still.reason
    assert _look(either, letter, {"oslo": replace(oslo, date_order="month_first")}).num_profiles == 24
    assert "unknown site 'oslo'; did you mean 'oslo2'" in _look(cl51_day, letter, {"oslo2": oslo}).reason


def test_profiles_that_the_stream_cannot_use_are_no_reason_to_send_a_file_again(cl51_day: bytes) -> None:
    bare = re.sub(rb"-2021-06-21 .*\r\n|2021-06-21 .*\r\n", b"", cl51_day)
    letter = Quarantined("f-0-1", "oslo", "a.dat", "", "f-0-1", 1, 1, 0, 1, "[]", "", "", "", 0, 1)

    assert _look(bare, letter, {"oslo": Site("oslo", 59.94, 10.72)}).num_profiles <= 1


def test_a_letter_that_names_no_site_is_not_sent_and_a_replay_that_left_one_ends_with_1(
    kafka: EmbeddedKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(filled(kafka, "nobodys"), capsys)
    key, value, headers = dead_letter(
        topic="nobodys.files", partition=0, offset=9, site="", file="f.dat", sent_ms=1,
        stretches=[(0, 5, "the key of the record is no site id")], raw=b"noise", max_bytes=8_000_000,
    )  # fmt: skip
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce("nobodys.bad", value, key, headers=headers)
    producer.flush(20)

    out, err = command("replay", code=1)

    assert out == "sent 3 file(s) again; 1 not sent\n"
    assert "it names no site" in err


def test_a_quarantine_beyond_its_budget_is_told_by_the_verb(kafka: EmbeddedKafka, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    settings = filled(kafka, "grown", b"\x00" * 900_000)
    command = Command([*settings, "kafka.quarantine_warn_mb=1"], capsys)
    assert "quarantine_warn_mb" not in command("list")[1]
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce("grown.bad", b"\x00" * 900_000, b"another")
    producer.flush(20)

    assert "more than kafka.quarantine_warn_mb = 1" in command("list")[1]


def test_strangers_letters_are_listed_counted_shown_and_written_each_in_its_line_and_file(
    kafka: EmbeddedKafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = filled(kafka, "strangers")
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    letters: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (None, []),
        (b"\xff\xfe", [("sent_ms", b"9" * 18), ("file", b"\xff")]),
        (b"lines", [("file", b"a\nb\x1b[31m"), ("site", b"x\ry"), ("reason", b"two\nlines")]),
        (b"infinite", [("stretches", b'[[Infinity, 1, "x"]]')]),
        (b"deep", [("stretches", b"[" * 9_000)]),
        *((b"many-%d" % number, [("num_stretches", b"9" * 18), ("reason", b"r")]) for number in range(12)),
        *((b"long-%d-" % number + b"k" * 100, [("file", "\u00e5".encode() * 240)]) for number in range(2)),
    ]
    for key, headers in letters:
        producer.produce("strangers.bad", b"value", key, headers=headers)
    producer.flush(20)
    command = Command(settings, capsys)

    assert len(command("list")[0].splitlines()) == len(letters) + 3
    assert "\x1b" not in command("list")[0]
    report = [json.loads(line) for line in command("report", "--json")[0].splitlines()]
    assert sum(line["num_letters"] for line in report) == len(letters) + 3
    command("report")
    command("show", "-o", str(tmp_path))
    assert len(list(tmp_path.iterdir())) == len(letters) + 3


def test_times_before_kafka_and_numbers_beyond_its_are_taken_or_refused(command: Command) -> None:
    assert command.ids("--since", "1960-01-01") == command.ids("--since", "1969-12-31T23:59:59.999") == [OLD, NY, DAY]
    assert command.ids("--limit", "9" * 25) == [OLD, NY, DAY]
    assert "before all calendars" in command("list", "--since", "999999d", code=2)[1]


def test_a_letter_stays_on_its_day_when_it_is_replayed(
    kafka: EmbeddedKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(filled(kafka, "stays"), capsys)
    before = {line["id"]: line["quarantined"] for line in map(json.loads, command("list", "--json")[0].splitlines())}

    assert "sent 3 file(s)" in command("replay")[0]

    after = [json.loads(line) for line in command("list", "--json")[0].splitlines()]
    assert {line["id"]: line["quarantined"] for line in after} == before
    assert all(line["replayed"] for line in after)
    assert command("show", "stays.files-0-0")[0].count("noise")


def test_a_file_that_does_not_fit_leaves_no_half_of_it_and_names_the_place(tmp_path: Path) -> None:
    letter = Quarantined("id", "oslo", "a.dat", "", "", 0, 0, 9, 1, "[]", "", "", "", 0, 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*id-a.dat: File too large; make room"):
            _written(tmp_path, letter, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
