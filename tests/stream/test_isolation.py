"""The running job under everything that strangers send, and under readers and operators that fail at random.

One real query: good sites among records that nothing should be able to make of, a reader and an operator that raise at
random. The good sites' products are those of a run without all this, and every record is accounted for.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer
from pyspark import cloudpickle
from topics import records_in

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.sites import read_sites
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import load_sites, site_named
from ipdsf_spark.stream import live
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.job import StreamJob
from ipdsf_spark.stream.piece import Piece

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]

GOOD = ("oslo", "norunda")
ENDLESS = "endless.dat"
TOPICS = ("files", "averages", "products", "sites", "quarantine")
RNG = np.random.default_rng(11)
TABLE = """
[oslo]
latitude_deg = 59.9
longitude_deg = 10.7
[norunda]
latitude_deg = 60.1
longitude_deg = 17.5
[chaotic]
latitude_deg = 50.0
longitude_deg = 10.0
"""


class FailingDecoder(Decoder):
    """Raises on every second file of the site that is there for it, and never ends with one."""

    def piece_of(self, site: Site, where: Piece, raw: bytes, **bounds: float) -> Piece:
        while where.file == ENDLESS:
            pass
        if site.id == "chaotic" and where.offset % 2:
            raise struct.error("planted: 'H' format requires 0 <= number <= 65535")
        return super().piece_of(site, where, raw, **bounds)


def failing_operator(parameters: Parameters) -> Operator:
    """Raises on every call for the same site."""

    def step(site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        if site.id == "chaotic":
            raise OverflowError("planted: date value out of range")
        return [], b"seen"

    return Operator("planted", 1, step)


def strange_records(cl51_file: bytes) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """Every kind of record that has stopped a query before, and some more."""
    text = cl51_file.decode("latin-1")
    first_stamp = text[: text.index("\r\n")]

    def stamped(stamp: str) -> bytes:
        return text.replace(first_stamp, stamp, 1).encode("latin-1")

    noise = RNG.bytes(900_000)
    return [
        (b"oslo", stamped("0001-01-01 00:00:00+23:00"), []),
        (b"oslo", stamped("-9999-12-31 23:59:59"), []),
        (b"oslo", stamped("-2036-02-07 06:28:16"), []),
        (b"oslo", cl51_file.replace(b"00100 10 ", b"00100 00 "), []),
        (b"oslo", noise, []),
        (b"norunda", gzip.compress(noise)[:-7], []),
        (b"norunda", b"\x89HDF\r\n\x1a\n" + bytes(500), []),
        (b"norunda", b"CDF\x01" + b"\xff" * 400, []),
        (b"norunda", b"\x01CL018121\x02\r\nx\r\n" * 9000, []),
        (b"norunda", b"", []),
        (b"norunda", None, [("sent_ms", b"99999999999999999999"), ("file", b"\xff\xfe")]),
        (b"oslo", b"x", [("sent_ms", b"-1"), ("joined", b"\xff")]),
        (None, cl51_file, []),
        (b"", cl51_file, []),
        (b"\xff\xfe-oslo", cl51_file, []),
        (b"../../etc", cl51_file, [("file", b"../../x")]),
        (b"unknown-site", cl51_file, []),
        (b"chaotic", cl51_file, [("file", ENDLESS.encode())]),
        *((f"garbage-{number}".encode(), RNG.bytes(30), []) for number in range(200)),
        *((b"chaotic", cl51_file, [("file", f"{number}.dat".encode())]) for number in range(12)),
    ]


def config_for(kafka: EmbeddedKafka, tmp_path: Path) -> Config:
    (tmp_path / "sites.toml").write_text(TABLE)
    config = load(
        overrides=[
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            *(
                f"kafka.{name}_topic=isolation.{name}"
                for name in ("files", "averages", "products", "sites", "quarantine")
            ),
            "kafka.partitions=2",
            "kafka.max_message_bytes=1000000",
            f'sites.file="{tmp_path / "sites.toml"}"',
            f'stream.directory="{tmp_path / "stream"}"',
            f'stream.operators=["layers", "{__name__}:failing_operator"]',
            "stream.driver_memory_mb=1024",
            "stream.longest_step_s=2.0",
        ]
    )
    ensure_topics(config.kafka, kafka.bootstrap_servers)
    return config


def edit_sites_while_it_runs(
    job: StreamJob, config: Config, tmp_path: Path, producer: Producer, files: list[bytes]
) -> None:
    """A table that cannot be read is refused, another one is taken over: a new site, and one that was set up anew."""
    table = tmp_path / "sites.toml"
    live_before = job.queries[0]
    table.write_text(TABLE + "[newcomer]\nlatitude_deg = 500.0\nlongitude_deg = 0.0\n")
    job.look_again()
    assert job.queries[0] is live_before

    moved = TABLE.replace("longitude_deg = 10.7\n", "longitude_deg = 10.7\nmax_height_m = 6000.0\n")
    table.write_text(moved + "[newcomer]\nlatitude_deg = 50.0\nlongitude_deg = 0.0\n")
    job.look_again()
    assert job.queries[0] is not live_before
    for site in ("newcomer", "oslo"):
        headers = [("file", b"again.dat"), ("sent_ms", b"1624262500000")]
        producer.produce(config.kafka.files_topic, files[0], site, headers=headers)
    producer.flush(30)
    job.drain()


def final_values(records: Sequence[tuple[str, bytes]]) -> dict[str, dict]:
    """The last value of every key that is a height of a good site and final."""
    newest = {key: json.loads(value) for key, value in records if "|layers|" in key and key.split("|")[0] in GOOD}
    for product in newest.values():
        del product["sent_ms"]
    return {key: product for key, product in newest.items() if not product["provisional"]}


def test_whatever_strangers_send_and_whoever_raises_the_query_goes_on_and_good_sites_do_not_notice(
    kafka: EmbeddedKafka, tmp_path: Path, cl51_files: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    monkeypatch.setattr(live, "Decoder", FailingDecoder)
    config = config_for(kafka, tmp_path)
    strange = strange_records(cl51_files[0])

    job = StreamJob(config, with_archive=False).start()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "compression.type": "zstd"})
    at = np.linspace(0, len(strange), len(cl51_files) + 1).astype(int)
    for number, raw in enumerate(cl51_files):
        for site in GOOD:
            headers = [("file", f"{number}.dat".encode()), ("sent_ms", str(1_624_262_400_000 + number).encode())]
            producer.produce(config.kafka.files_topic, raw, site, headers=headers)
        for key, value, headers in strange[at[number] : at[number + 1]]:
            producer.produce(config.kafka.files_topic, value, key, headers=headers)
    producer.flush(30)
    job.drain()
    assert [query.isActive for query in job.queries] == [True]
    edit_sites_while_it_runs(job, config, tmp_path, producer, cl51_files)
    job.stop()
    del producer  # or it looks for its broker until the end of the process
    cloudpickle.unregister_pickle_by_value(module)

    totals = job.listener.totals
    assert totals.read == len(strange) + 2 * len(cl51_files) + 2
    assert totals.is_balanced

    products = [(key, value) for key, value, _ in records_in(kafka, config.kafka.products_topic)]
    (tmp_path / "as-it-was.toml").write_text(TABLE)  # before it was edited
    stage, sites = live.stage_of(load()), load_sites(tmp_path / "as-it-was.toml")
    alone = []
    decoder = Decoder(sites, 300, 1_000_000)
    for site in GOOD:
        pieces = [
            Piece.from_bytes(decoder.row_of(site, raw, "", 1_624_262_400_000 + n, 2**41, None, "f", 0, n)[1])
            for n, raw in enumerate(cl51_files)
        ]
        alone += [(r.key.decode(), r.value) for r in stage.step(site_named(sites, site), pieces, b"").records]
    expected = final_values(alone)
    assert len(expected) > 2
    said = final_values(products)
    assert said.keys() >= expected.keys()
    differing = [(key, product, said[key]) for key, product in expected.items() if said[key] != product]
    assert differing == []

    letters = records_in(kafka, config.kafka.quarantine_topic)
    reasons = [headers["reason"] for _, _, headers in letters]
    assert sum("the reader failed: error: planted" in reason for reason in reasons) >= 4
    assert sum("TooLongError: reading it was ended after 2 s" in reason for reason in reasons) == 1
    assert sum("operator planted: OverflowError: planted" in reason for reason in reasons) >= 1
    assert all(headers["__streams.errors.topic"] == config.kafka.files_topic for _, _, headers in letters)
    whose = {headers["site"] for _, _, headers in letters}
    assert {"unknown-site", "../../etc", "garbage-0", "garbage-199"} <= whose
    status = {site.site: site for site in read_sites(config.kafka, kafka.bootstrap_servers)}
    assert status.keys() <= {*GOOD, "chaotic", "newcomer"}  # 200 garbage keys left nothing behind
    assert [site.is_balanced for site in status.values()] == [True] * len(status)
    assert status["chaotic"].faults >= 1
    assert {site: status[site].used for site in GOOD} == dict.fromkeys(GOOD, 20 * len(cl51_files))
    assert status["newcomer"].used == 20
    assert "site_settings_changed" in status["oslo"].flags
    assert status["oslo"].duplicate >= 20  # what was used is still known
