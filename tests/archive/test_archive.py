"""The archive against a real broker: fed exactly once, alone with its faults, made whole again, exported."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from confluent_kafka import KafkaError, Producer
from records import NOON_MS, average, product

from ipdsf_spark.archive import feed as feed_room
from ipdsf_spark.archive import rebuild as rebuild_room
from ipdsf_spark.archive.delta.log import snapshot
from ipdsf_spark.archive.feed import Feed
from ipdsf_spark.archive.inspection import inspect
from ipdsf_spark.archive.keeper import ArchiveKeeper
from ipdsf_spark.archive.reading import files, read_averages, read_newest, read_products, read_revisions
from ipdsf_spark.archive.rebuild import rebuild
from ipdsf_spark.archive.tables import PRODUCTS, TABLES
from ipdsf_spark.cli.main import main
from ipdsf_spark.config import Config, KafkaConfig, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import BrokerError, InputError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.topics import admin
from tests.conftest import REPOSITORY
from tests.processes import process_group
from tests.waiting import await_that

pytestmark = [pytest.mark.kafka]

READ_BY_SPARK = """
import sys
from pyspark.sql import SparkSession
from ipdsf_spark.spark.versions import of_spark
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars.packages", of_spark().delta)
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.databricks.delta.snapshotPartitions", "2").config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC").config("spark.ui.enabled", "false")
    .getOrCreate()
)
products = spark.read.format("delta").load(sys.argv[1] + "/products")
first = products.where("date = '2026-06-21' and kind = 'layers'").orderBy("time", "offset").first()
print("products", products.count(), first.site, first.mixing_height_m, first.quality, first.time, flush=True)
averages = spark.read.format("delta").load(sys.argv[1] + "/averages")
row = averages.first()
print("averages", row.site, row.health, len(row.beta), flush=True)
spark.range(1).selectExpr("'spark' as key", "date'2026-06-21' as date").write.format("delta").mode("append").save(
    sys.argv[1] + "/products"
)
"""


class Archive:
    """Topics of one test and the archive that they feed."""

    def __init__(self, name: str, kafka: EmbeddedKafka, directory: Path) -> None:
        self.settings = [
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            f"kafka.files_topic={name}.files",
            f"kafka.averages_topic={name}.averages",
            f"kafka.products_topic={name}.products",
            f"kafka.quarantine_topic={name}.bad",
            "kafka.partitions=1",
            f'stream.archive_directory="{directory}"',
            "stream.archive_every_s=1",
        ]
        self.config: Config = load(overrides=self.settings)
        self.bootstrap = kafka.bootstrap_servers
        self.directory = directory
        ensure_topics(self.config.kafka, self.bootstrap)
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})

    def send(self, *pairs: tuple[str, bytes], topic: str = "", partition: int = -1, at_ms: int = 0) -> None:
        for key, value in pairs:
            self.producer.produce(
                topic or self.config.kafka.products_topic, value, key, partition=partition, timestamp=at_ms
            )
        self.producer.flush(20)

    def feed(self) -> int:
        with Feed(self.config.kafka, self.bootstrap, self.config.kafka.products_topic, self.directory / PRODUCTS,
                  TABLES[0]) as feed:  # fmt: skip
            total = 0
            while (fed := feed.take()).num_records:
                total += fed.num_records
            return total

    def heights(self) -> dict[str, float]:
        return {f"{r.site} {r.time:%H:%M}": r.mixing_height_m for r in read_products(self.directory).itertuples()}


@pytest.fixture
def archive(kafka: EmbeddedKafka, tmp_path: Path, request: pytest.FixtureRequest) -> Archive:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[-60:]
    return Archive(name, kafka, tmp_path / "archive")


@pytest.fixture
def keeper(archive: Archive) -> Iterator[ArchiveKeeper]:
    keeper = ArchiveKeeper(archive.config, archive.bootstrap)
    yield keeper
    keeper.stop()


def test_what_is_in_the_topics_is_in_the_tables_once_however_often_it_is_begun(archive: Archive) -> None:
    archive.send(*(product("oslo", 5 * k, 700.0 + k) for k in range(40)))
    assert archive.feed() == 40
    assert archive.feed() == 0
    archive.send(product("oslo", 0, 999.0))
    assert archive.feed() == 1

    assert len(read_revisions(archive.directory)) == 41
    assert archive.heights()["oslo 12:00"] == 999.0


def test_the_newest_value_wins_after_a_topic_has_grown_and_after_it_was_made_anew(archive: Archive) -> None:
    topic, client = archive.config.kafka.products_topic, admin(archive.config.kafka, archive.bootstrap)
    archive.send(*(product("oslo", 0, 600.0 + k) for k in range(9)), partition=3, at_ms=NOON_MS)
    assert archive.feed() == 9
    archive.send(product("oslo", 0, 700.0), partition=0, at_ms=NOON_MS + 1000)
    archive.feed()
    assert archive.heights() == {"oslo 12:00": 700.0}

    client.delete_topics([topic])[topic].result(20)
    await_that(lambda: topic not in client.list_topics(timeout=10).topics, "deleted")
    ensure_topics(archive.config.kafka, archive.bootstrap)
    # As many as before and one more: offsets alone cannot tell the new topic from the old one.
    archive.send(*(product("oslo", 0, 800.0 + k) for k in range(10)), partition=3, at_ms=NOON_MS + 2000)

    assert archive.feed() == 10
    assert archive.heights() == {"oslo 12:00": 809.0}


def test_a_topic_made_anew_under_a_running_archive_is_read_from_its_beginning(
    archive: Archive, keeper: ArchiveKeeper
) -> None:
    topic, client = archive.config.kafka.products_topic, admin(archive.config.kafka, archive.bootstrap)
    archive.send(product("oslo", 0, 600.0), product("oslo", 5, 600.0), partition=0)
    keeper.start()
    assert keeper.drain()
    client.delete_topics([topic])[topic].result(20)
    await_that(lambda: topic not in client.list_topics(timeout=10).topics, "deleted")
    ensure_topics(archive.config.kafka, archive.bootstrap)
    archive.send(product("oslo", 0, 700.0), partition=0)

    await_that(lambda: archive.heights()["oslo 12:00"] == 700.0, keeper.problem)


def test_a_disk_that_is_full_is_told_stops_nobody_and_is_caught_up(
    archive: Archive, keeper: ArchiveKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    archive.directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", archive.directory], check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        rng = np.random.default_rng(0)
        archive.send(product("oslo", 0, 700.0))
        keeper.start()
        assert keeper.drain()
        archive.send(*(product("oslo", minute, 800.0, noise=rng.bytes(8_000).hex()) for minute in range(1, 60)))
        with caplog.at_level(logging.WARNING):
            await_that(lambda: "No space left on device" in keeper.problem, "the disk never filled")
        assert "live products go on" in caplog.text
        assert 1 <= len(archive.heights()) < 60  # readable on a full disk
        assert not [problem for table in inspect(archive.directory) for problem in table.problems]

        subprocess.run(["mount", "-o", "remount,size=64m", archive.directory], check=True)
        await_that(lambda: not keeper.problem, keeper.problem)
        assert keeper.drain()
        assert len(archive.heights()) == 60
        assert len(read_revisions(archive.directory)) == 60
        assert "the archive of products goes on, nothing is missing" in caplog.text
        keeper.stop()
    finally:
        keeper.stop()
        subprocess.run(["umount", "-l", archive.directory], check=True)


def test_a_place_where_nothing_can_be_written_is_told_and_caught_up_when_it_is_mended(
    archive: Archive, keeper: ArchiveKeeper
) -> None:
    archive.directory.write_text("a file where the folder should be")
    archive.send(product("oslo", 0, 700.0))
    keeper.start()
    await_that(lambda: "is not written" in keeper.problem, "no problem told")
    assert not keeper.drain(timeout_s=0.2)
    archive.directory.unlink()

    await_that(lambda: not keeper.problem, keeper.problem)
    assert keeper.drain()
    assert archive.heights() == {"oslo 12:00": 700.0}


def test_two_archivers_of_one_topic_write_each_record_once(archive: Archive) -> None:
    keepers = [ArchiveKeeper(archive.config, archive.bootstrap).start() for _ in range(2)]
    for begin in range(0, 30, 10):
        archive.send(*(product("oslo", minute, 700.0) for minute in range(begin, begin + 10)))
        keepers[begin // 10 % 2].drain()
    assert all(keeper.drain() for keeper in keepers)
    for keeper in keepers:
        keeper.stop()

    assert len(read_revisions(archive.directory)) == 30


def archiver(settings: list[str], bootstrap: str) -> None:
    """An archiver as a process of its own, which commits every few records and compacts all the time."""
    feed_room.MAX_BYTES = 2_000
    config = load(overrides=[*settings, "stream.archive_compact_every_s=1"])
    ArchiveKeeper(config, bootstrap).start()
    signal.pause()


def test_an_archiver_killed_again_and_again_writes_each_record_once(archive: Archive) -> None:
    wanted = 300
    archive.send(*(product(f"site-{k % 7}", k // 7, 700.0 + k) for k in range(wanted)))
    fork = multiprocessing.get_context("fork")
    chance, kills = random.Random(3), 0

    def held() -> int:
        return sum(snapshot(archive.directory / PRODUCTS).transactions.values())

    while (before := held()) < wanted:
        process = fork.Process(target=archiver, args=(archive.settings, archive.bootstrap))
        process.start()
        aim = min(before + chance.randrange(1, 60), wanted)
        while held() < aim:
            assert process.is_alive(), f"ended by itself after {kills} kills and {before} records"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1

    found = read_revisions(archive.directory)
    assert kills >= 6
    assert sorted(found.mixing_height_m) == [700.0 + k for k in range(wanted)]
    assert not [problem for table in inspect(archive.directory) for problem in table.problems]


def test_a_damaged_or_deleted_table_is_made_whole_from_the_topic_and_its_files(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for setting in archive.settings for word in ("--set", setting)]
    for minute in range(4):
        archive.send(product("oslo", minute, 700.0 + minute))
        archive.feed()
    archive.send(average("oslo", 0), topic=archive.config.kafka.averages_topic)
    whole = archive.heights()
    paths = [Path(path) for path in files(archive.directory)]
    paths[0].write_bytes(b"")
    paths[1].unlink()
    assert main(["archive", "inspect", *words]) == 1
    told = capsys.readouterr().out
    assert "has 0 bytes, not" in told
    assert f"{paths[1]} is missing; `ipdsf archive rebuild` makes the table whole" in told

    assert main(["archive", "rebuild", *words]) == 0
    told = capsys.readouterr().out
    assert "products: 2 damaged file(s) set aside; 0 new and 2 missing row(s) from the topic, 0 from" in told
    assert archive.heights() == whole
    assert main(["archive", "inspect", *words]) == 0

    # The log is gone, and the topic with it: what the files hold is taken from them.
    log = archive.directory / PRODUCTS / "_delta_log"
    (log / f"{2:020d}.json").unlink()
    topic, client = archive.config.kafka.products_topic, admin(archive.config.kafka, archive.bootstrap)
    client.delete_topics([topic])[topic].result(20)
    await_that(lambda: topic not in client.list_topics(timeout=10).topics, "deleted")
    ensure_topics(archive.config.kafka, archive.bootstrap)
    rebuild(archive.config, archive.bootstrap, archive.directory)
    assert archive.heights() == whole
    assert len(read_newest(archive.directory)) == 4
    assert len(read_averages(archive.directory)) == 1

    for path in sorted((archive.directory / PRODUCTS).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    archive.send(product("oslo", 9, 900.0))
    assert archive.feed() == 1  # a deleted table begins with what the topic has
    assert archive.heights() == {"oslo 12:09": 900.0}


def test_what_is_published_during_a_rebuild_is_archived_once(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.send(*(product("oslo", minute, 700.0 + minute) for minute in range(3)))
    archive.feed()
    real = rebuild_room._from_topic

    def while_published(*arguments: Any) -> Iterator[Any]:
        monkeypatch.setattr(rebuild_room, "_from_topic", real)
        archive.send(product("oslo", 3, 703.0))
        with pytest.raises(InputError, match="is in use"):  # one at a time
            rebuild(archive.config, archive.bootstrap, archive.directory)
        yield from real(*arguments)

    monkeypatch.setattr(rebuild_room, "_from_topic", while_published)
    rebuild(archive.config, archive.bootstrap, archive.directory)
    archive.feed()

    assert sorted(read_revisions(archive.directory).mixing_height_m) == [700.0, 701.0, 702.0, 703.0]


def test_a_file_damaged_inside_is_made_whole_from_the_topic(archive: Archive) -> None:
    for minute in range(3):
        archive.send(product("oslo", minute, 700.0 + minute))
        archive.feed()
    whole = archive.heights()
    path = Path(files(archive.directory)[0])
    raw = path.read_bytes()
    path.write_bytes(raw[:100] + bytes(400) + raw[500:])

    products, _ = rebuild(archive.config, archive.bootstrap, archive.directory)

    assert (products.num_damaged, products.num_filled) == (1, 1)
    assert archive.heights() == whole
    log = archive.directory / PRODUCTS / "_delta_log"
    (log / f"{0:020d}.json").write_bytes(b'{"add":5}\n')  # a log that is JSON and no log
    rebuild(archive.config, archive.bootstrap, archive.directory)
    assert archive.heights() == whole


@pytest.mark.long
@pytest.mark.spark
@pytest.mark.slow
def test_spark_pandas_and_duckdb_read_the_tables_while_they_are_written(
    archive: Archive, keeper: ArchiveKeeper
) -> None:
    import duckdb

    archive.send(product("oslo", 0, 700.0), product("oslo", 5, None))
    archive.send(average("oslo", 0), topic=archive.config.kafka.averages_topic)
    keeper.start()
    assert keeper.drain()
    command = [sys.executable, "-W", "ignore", "-c", READ_BY_SPARK, str(archive.directory)]
    log = archive.directory / "spark.txt"
    with log.open("w") as output:
        spark = subprocess.Popen(command, stdout=output, stderr=output, cwd=REPOSITORY)
    minute = 10
    counts = []
    while spark.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            spark.wait(1.0)  # as often as a keeper writes in earnest, and no more: Spark needs the cores to begin
        archive.send(product("ny", minute, 500.0))
        minute += 5
        keeper.drain()
        counts.append(len(read_products(archive.directory)))
        # DuckDB reads the files that the log names: also the row that Spark adds, which is no height.
        [(rows,)] = duckdb.sql(f"SELECT count(*) FROM read_parquet({files(archive.directory)!r})").fetchall()
        assert counts[-1] <= rows <= minute
    text = log.read_text()
    assert spark.returncode == 0, text[-3000:]
    assert counts == sorted(counts)
    told = [line.split() for line in text.splitlines() if line.startswith(("products", "averages"))]
    assert [line[0] for line in told] == ["products", "averages"]
    assert told[0][2:] == ["oslo", "700.0", "[]", "2026-06-21", "12:00:00"]
    assert told[1][1:] == ["oslo", "{'laser_temperature_K':", "300.0}", "20"]

    # What Spark has written into the table is read, and we write on.
    before = snapshot(archive.directory / PRODUCTS).version
    archive.send(product("oslo", 10, 710.0))
    assert keeper.drain()
    assert archive.heights()["oslo 12:10"] == 710.0
    assert snapshot(archive.directory / PRODUCTS).version == before + 1


def test_duckdb_reads_the_files_of_the_newest_version(archive: Archive) -> None:
    import duckdb

    archive.send(product("oslo", 0, 700.0), product("oslo", 0, 800.0))
    archive.feed()

    found = duckdb.sql(
        f"SELECT site, mixing_height_m FROM read_parquet({files(archive.directory)!r}, hive_partitioning=true) "
        'QUALIFY row_number() OVER (PARTITION BY key ORDER BY published DESC, "offset" DESC) = 1'
    ).fetchall()

    assert found == [("oslo", 800.0)]


def test_a_day_is_exported_as_cf_netcdf(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive.send(product("oslo", 5, 700.0), product("oslo", 0, None), product("oslo", 5, 710.0))
    archive.send(average("oslo", 0), topic=archive.config.kafka.averages_topic)
    keeper = ArchiveKeeper(archive.config, archive.bootstrap).start()
    assert keeper.drain()
    keeper.stop()
    words = ["-o", str(tmp_path / "cf"), "--date", "2026-06-21"]
    words += [word for setting in archive.settings for word in ("--set", setting)]

    assert main(["archive", "export", *words]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cf' / 'oslo_20260621.nc'}\n"
    with netCDF4.Dataset(tmp_path / "cf" / "oslo_20260621.nc") as found:
        assert found.instrument == "Vaisala CL51"
        assert found["pblh"][:].tolist() == [None, 710.0]
        assert found["pblh_qc"][:].tolist() == [1, 0]
        assert found["pblh_candidates"][1].tolist() == [900.0, 400.0, None, None, None]
    assert main(["archive", "export", "--site", "nobody", *words]) == 1
    assert "has no heights of nobody on 2026-06-21" in capsys.readouterr().err
    assert main(["archive", "export", "-o", "x", "--date", "today"]) == 2


def test_follow_archives_without_spark_until_it_is_told_to_stop(archive: Archive) -> None:
    archive.send(product("oslo", 0, 700.0))
    words = [word for setting in archive.settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "archive", "follow", "--json", *words]
    with process_group(command, stderr=None) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if told["table"] == "products" and told["records"] == 1:
                break
        process.terminate()
        assert process.wait(30) == 0

    assert archive.heights() == {"oslo 12:00": 700.0}


def test_an_archive_that_kafka_does_not_let_in_names_what_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed(KafkaConfig(), "127.0.0.1:1", "products", tmp_path / "products", TABLES[0])

    def without_an_answer(*_: object) -> str:
        feed._listener(KafkaError(KafkaError._AUTHENTICATION, "SASL authentication error"))
        raise BrokerError("Kafka does not describe topic products: timed out")

    monkeypatch.setattr("ipdsf_spark.archive.feed.topic_identity", without_an_answer)
    with pytest.raises(
        BrokerError, match=r"authentication failed at 127\.0\.0\.1:1: SASL authentication error: look at "
    ):
        feed.__enter__()
