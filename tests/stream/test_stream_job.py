"""The job against a real Kafka: counts, restart, SIGTERM, SIGKILL in mid-batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from confluent_kafka import Producer
from topics import await_records, records_in

from ipdsf_spark.archive.reading import read_products
from ipdsf_spark.archive.tables import archive_directory
from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.quarantine import Quarantined, Values
from ipdsf_spark.kafka.quarantine import read as read_quarantine
from ipdsf_spark.kafka.replay import replay as replay_letters
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.loadgen.replay import Feed, replay
from ipdsf_spark.sites import layer_settings, site_named, sites_of
from ipdsf_spark.stream.job import StreamJob
from tests.conftest import run_ipdsf

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]

SITES = ("oslo", "norunda")
GARBAGE = b"nothing an instrument would say"
LARGE = b"no message " * 300_000  # 3 MB: more than a producer sends unless told


def config_for(name: str, kafka: EmbeddedKafka, tmp_path: Path) -> tuple[Config, list[str]]:
    overrides = [
        f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
        f"kafka.files_topic={name}.files",
        f"kafka.averages_topic={name}.averages",
        f"kafka.products_topic={name}.products",
        f"kafka.sites_topic={name}.sites",
        f"kafka.quarantine_topic={name}.bad",
        "kafka.partitions=4",
        f'stream.directory="{tmp_path / "stream"}"',
        "stream.archive_every_s=1",
        "stream.driver_memory_mb=1024",
    ]
    config = load(overrides=overrides)
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    return config, overrides


def feeds_of(files: list[bytes], tmp_path: Path, *, name: str) -> list[Feed]:
    folder = tmp_path / name
    folder.mkdir()
    paths = [folder / f"{name}-{number:03d}.dat" for number in range(len(files))]
    for path, raw in zip(paths, files, strict=True):
        path.write_bytes(raw)
    return [Feed(site, paths) for site in SITES]


def send(config: Config, feeds: list[Feed]) -> int:
    return replay(feeds, config.kafka, config.kafka.bootstrap_servers, rate=1000.0).sent


def with_values(config: Config, letters: list[Quarantined]) -> list[tuple[Quarantined, bytes]]:
    with Values(config.kafka, config.kafka.bootstrap_servers) as values:
        return [(letter, values.of(letter)) for letter in letters]


def heights(products: pd.DataFrame, site: str) -> dict[str, float]:
    rows = products[products["site"] == site]
    return {f"{time:%H:%M:%S}": height for time, height in zip(rows["time"], rows["mixing_height_m"], strict=True)}


def expected_heights(config: Config, files: list[bytes], site: str) -> dict[str, float]:
    layers = retrieve(
        [block for raw in files for block in decode(raw).blocks],
        site_named(sites_of(config), site),
        layer_settings(config),
    )
    return {str(time)[11:19]: round(h, 1) for time, h in zip(layers.time, layers.mixing_height_m, strict=True)}


def test_what_is_read_is_decoded_or_quarantined_and_a_restart_goes_on(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_files: list[bytes]
) -> None:
    config, _ = config_for("flow", kafka, tmp_path)
    first, second = cl51_files[:18], cl51_files[18:]

    job = StreamJob(config).start()
    sent = send(config, feeds_of([*first, GARBAGE], tmp_path, name="first"))
    job.drain()
    run = str(job.queries[0].runId)
    job.stop()
    assert run in job.listener.ended_runs  # so that the counts are those of all batches
    totals = job.listener.totals
    job = StreamJob(config).start()
    sent += send(config, feeds_of(second, tmp_path, name="second"))
    job.drain()
    job.stop()

    both_runs = totals.read + job.listener.totals.read
    assert both_runs == sent == 2 * (len(cl51_files) + 1)
    assert totals.is_balanced
    assert job.listener.totals.is_balanced
    bad = read_quarantine(config.kafka, kafka.bootstrap_servers)
    assert [(raw, item.file) for item, raw in with_values(config, bad)] == [(GARBAGE, "first-018.dat")] * 2
    assert {item.site for item in bad} == set(SITES)
    products = read_products(archive_directory(config))
    for site in SITES:
        expected = expected_heights(config, cl51_files, site)
        streamed = heights(products, site)
        assert streamed.keys() == expected.keys()
        final = products[(products["site"] == site) & ~products["provisional"]]
        for time_of in (f"{moment:%H:%M:%S}" for moment in final["time"]):
            np.testing.assert_allclose(streamed[time_of], expected[time_of], atol=0.2)

    assert replay_letters(config.kafka, kafka.bootstrap_servers, bad).num_sent == 2


def test_a_checkpoint_refuses_parameters_that_cannot_change(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    config, overrides = config_for("fixed", kafka, tmp_path)
    job = StreamJob(config).start()
    job.stop()

    other = StreamJob(load(overrides=[*overrides, "layers.averaging_s=600"]))

    with pytest.raises(ConfigError, match="averaging_s was 300, is 600"):
        other.start()
    other.stop()


@pytest.mark.long
def test_what_a_checkpoint_remembers_of_every_site_is_told_and_a_damaged_state_is_named(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_files: list[bytes]
) -> None:
    config, overrides = config_for("remembered", kafka, tmp_path)
    job = StreamJob(config).start()
    send(config, feeds_of(cl51_files[:3], tmp_path, name="few"))
    job.drain()
    job.stop()
    words = ["checkpoint", "inspect", "--state", *(word for override in overrides for word in ("--set", override))]

    told = json.loads(run_ipdsf(*words, "--json").stdout)

    assert told["problems"] == []
    assert {state["site"]: state["counts"]["files"] for state in told["sites"]} == dict.fromkeys(SITES, 3)

    for changes in (tmp_path / "stream" / "checkpoint" / "live" / "state" / "0").glob("*/1.changelog"):
        changes.write_bytes(changes.read_bytes()[:-20])
    ended = run_ipdsf(*words, check=False)
    assert ended.returncode == 1
    assert "1.changelog is " in ended.stdout
    assert "cannot be read: " in ended.stderr
    assert "Traceback" not in ended.stderr


def start_process(overrides: list[str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "stream"]
    command += [word for override in overrides for word in ("--set", override)]
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


def test_sigkill_in_mid_batch_neither_loses_nor_repeats_a_height(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_files: list[bytes]
) -> None:
    config, overrides = config_for("killed", kafka, tmp_path)
    log = tmp_path / "stream.log"
    process = start_process(overrides, log)
    half = len(cl51_files) // 2
    send(config, feeds_of(cl51_files[:half], tmp_path, name="before"))
    await_records(kafka, config.kafka.products_topic, process, log)
    send(config, feeds_of(cl51_files[half:], tmp_path, name="during"))
    os.killpg(process.pid, signal.SIGKILL)  # driver, JVM and Python workers at once
    process.wait()

    job = StreamJob(config).start()
    job.drain()
    job.stop()

    said: dict[str, set[str]] = {}
    for key, value, _ in records_in(kafka, config.kafka.products_topic):
        product = json.loads(value)
        if product["kind"] == "layers" and not product["provisional"]:
            said.setdefault(key, set()).add(value)
    assert {len(values) for values in said.values()} == {1}  # a batch that was repeated said the very same

    products = read_products(archive_directory(config))
    for site in SITES:
        expected = expected_heights(config, cl51_files, site)
        assert list(heights(products, site)) == list(expected)
        final = products[(products["site"] == site) & ~products["provisional"]]
        streamed = heights(products, site)
        for time_of in (f"{moment:%H:%M:%S}" for moment in final["time"]):
            np.testing.assert_allclose(streamed[time_of], expected[time_of], atol=0.2)


def test_sigterm_finishes_the_batch_and_says_what_was_done(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_files: list[bytes]
) -> None:
    config, overrides = config_for("ended", kafka, tmp_path)
    log = tmp_path / "stream.log"
    process = start_process(overrides, log)
    send(config, feeds_of(cl51_files[:4], tmp_path, name="files"))
    await_records(kafka, config.kafka.products_topic, process, log)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=90.0) == 0, log.read_text()[-2000:]
    assert "stopping after this batch" in log.read_text()
    assert "stopped after 8 files" in log.read_text()


def test_records_of_strangers_are_decoded_or_quarantined_whatever_their_key_and_headers(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_file: bytes
) -> None:
    config, _ = config_for("strangers", kafka, tmp_path)
    records: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (b"no-headers", cl51_file, []),
        (b"timed", cl51_file, [("sent_ms", b"1624269600000")]),
        (None, cl51_file, [("site", b"named-by-header")]),
        (None, cl51_file, []),
        (b"twice", cl51_file, [("file", b"first"), ("file", b"second"), ("sent_ms", b"no number")]),
        (b"\xff\xfe-oslo", cl51_file, [("file", b"\xc3\x28.dat"), ("site", None)]),
        (b"empty", b"", []),
        (b"tombstone", None, []),
        (b"large", LARGE, []),
        (b"\xff\xfe-bad", GARBAGE, [("file", b"\xff")]),
    ]

    job = StreamJob(config).start()
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 8_000_000, "compression.type": "zstd"}
    )
    for key, value, headers in records:
        producer.produce(config.kafka.files_topic, value, key, headers=headers)
    producer.flush(30)
    job.drain()
    job.stop()

    assert job.listener.totals.read == len(records)
    assert job.listener.totals.is_balanced
    bad = read_quarantine(config.kafka, kafka.bootstrap_servers)
    assert sorted((item.site, raw) for item, raw in with_values(config, bad)) == [
        ("", cl51_file),  # without a key and without a header nobody knows whose it is
        ("empty", b""),
        ("large", LARGE),
        ("tombstone", b""),
        ("\ufffd\ufffd-bad", GARBAGE),
        ("\ufffd\ufffd-oslo", cl51_file),
    ]
    products = read_products(archive_directory(config))
    assert set(products["site"]) == {"no-headers", "named-by-header", "timed", "twice"}
    assert set(products.loc[products["site"] == "timed", "sent_ms"]) == {1_624_269_600_000}
    assert products.loc[products["site"] == "twice", "sent_ms"].min() > 1.7e12  # no number: Kafka's own time
