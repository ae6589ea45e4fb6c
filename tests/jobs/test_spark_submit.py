"""`./spark-submit.sh stream_profiles` as an operator runs it: genuine files, SIGTERM, wrong configuration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.lidar.simulator import FileBank, simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, replay
from tests.stream.topics import await_records
from tests.topic_ends import ends

DAY = date(2026, 6, 21)
INSTRUMENTS = ("cl51", "chm15k", "cl61")
SITES_TOML = "".join(
    f"[{name}-site]\nlatitude_deg = 48.15\nlongitude_deg = 11.57\nmin_height_m = 150.0\n" for name in INSTRUMENTS
)


@pytest.fixture(scope="module")
def bank() -> FileBank:
    """A clear day of a text, a netCDF-3 and a netCDF-4 instrument."""
    place = Site("munich", 48.15, 11.57)
    rng = np.random.default_rng(9)
    return FileBank([simulate_day(place, DAY, rng=rng, instrument=name, cadence_s=30) for name in INSTRUMENTS])


def files_of(bank: FileBank, folder: Path, *, num_files: int) -> list[Feed]:
    """Five-minute files from 11:00 UTC on, a folder per site."""
    feeds = []
    for number, name in enumerate(INSTRUMENTS):
        site = f"{name}-site"
        (folder / site).mkdir(parents=True)
        start = np.datetime64(DAY, "us") + np.timedelta64(11, "h")
        made = [bank.file(site, number, start + turn * bank.length) for turn in range(num_files)]
        for file in made:
            (folder / site / file.name).write_bytes(file.raw)
        feeds.append(Feed(site, [folder / site / file.name for file in made]))
    return feeds


def submit(repository: Path, log: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    command = ["./spark-submit.sh", "stream_profiles"]
    command += [word for override in overrides for word in ("--set", override)]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=repository,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"MASTER": "local[2]", "SPARK_ARGS": "--driver-memory 1g --conf spark.ui.enabled=false"},
        )


def newest_products(config: Config) -> dict[tuple[str, str], dict]:
    """What a consumer that upserts holds: the last record of every site and time."""
    topic = load(overrides=[f"kafka.files_topic={config.kafka.products_topic}"]).kafka
    remaining = {part: end for part, end in ends(topic, config.kafka.bootstrap_servers).items() if end}
    consumer = Consumer({"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(config.kafka.products_topic, part, 0) for part in remaining])
    found = {}
    while remaining:
        message = consumer.poll(20.0)
        assert message is not None, "Kafka stopped answering"
        assert message.error() is None, message.error()
        product = json.loads(message.value())
        found[product["site"], product["time"]] = product
        if message.offset() + 1 >= remaining[message.partition()]:
            del remaining[message.partition()]
    consumer.close()
    return found


@pytest.mark.kafka
@pytest.mark.spark
@pytest.mark.slow
def test_the_submitted_job_finishes_its_batch_on_sigterm_and_leaves_the_heights(
    kafka: EmbeddedKafka, tmp_path: Path, repository: Path, bank: FileBank
) -> None:
    (tmp_path / "sites.toml").write_text(SITES_TOML)
    overrides = [
        f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
        "kafka.files_topic=submitted.files",
        *(f"kafka.{name}_topic=submitted.{name}" for name in ("averages", "products", "sites")),
        "kafka.quarantine_topic=submitted.bad",
        "kafka.partitions=4",
        f'sites.file="{tmp_path / "sites.toml"}"',
        f'stream.directory="{tmp_path / "stream"}"',
        "stream.archive_every_s=1",
    ]
    config = load(overrides=overrides)
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    sent = replay(files_of(bank, tmp_path / "net", num_files=12), config.kafka, kafka.bootstrap_servers, rate=1e6).sent
    log = tmp_path / "job.log"
    process = submit(repository, log, overrides)
    try:
        await_records(kafka, config.kafka.products_topic, process, log)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=120.0) == 0, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    said = log.read_text()
    assert "stopping after this batch" in said
    assert f"stopped after {sent} files" in said  # all lay there before the first batch began
    products = newest_products(config)
    products = {key: product for key, product in products.items() if product["kind"] == "layers"}
    assert len(products) == sent
    for number, name in enumerate(INSTRUMENTS):
        rows = [product for (site, _), product in products.items() if site == f"{name}-site"]
        time_of = np.array([product["time"].rstrip("Z") for product in rows], "datetime64[us]")
        height_m = np.array([product["mixing_height_m"] for product in rows], float)
        assert np.nanmedian(np.abs(height_m - bank.day_of(number).truth_at(time_of))) < 150.0


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("layers.lag=60", "unknown key layers.lag; did you mean 'lag_s'?"),
        ("sites.file=nowhere.toml", "nowhere.toml"),
    ],
)
def test_wrong_configuration_ends_with_2_before_a_query_starts(
    tmp_path: Path, repository: Path, override: str, said: str
) -> None:
    log = tmp_path / "job.log"
    overrides = [f'stream.directory="{tmp_path / "stream"}"', f'broker.directory="{tmp_path}"', override]

    assert submit(repository, log, overrides).wait(timeout=120.0) == 2, log.read_text()[-3000:]

    assert said in log.read_text()
    assert not (tmp_path / "stream").exists()


def test_an_unknown_job_is_refused_and_help_lists_those_there_are(repository: Path) -> None:
    refused = subprocess.run(
        ["./spark-submit.sh", "stream_profile"], cwd=repository, capture_output=True, text=True, check=False
    )
    told = subprocess.run(["./spark-submit.sh", "--help"], cwd=repository, capture_output=True, text=True, check=True)

    assert refused.returncode == 2
    assert "no job stream_profile" in refused.stderr
    assert "  stream_profiles\n" in told.stdout
