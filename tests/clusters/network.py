"""Sites whose files a cluster is given, and what must have become of them: whichever cluster it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.sites import SiteStatus, read_sites
from ipdsf_spark.lidar.simulator import FileBank, simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, replay
from tests.stream.topics import records_in

DAY: Final = date(2026, 6, 21)
NUM_SITES, NUM_FILES, PROFILES = 8, 10, 10  # five-minute files of a profile every 30 s
PATIENCE_S: Final = 400.0
TOPICS: Final = ("files", "averages", "products", "sites", "quarantine")


@dataclass(frozen=True)
class Network:
    """Sites whose files are in Kafka, and a job that has not run yet."""

    kafka: EmbeddedKafka
    folder: Path
    overrides: tuple[str, ...]

    @classmethod
    def begun(cls, kafka: EmbeddedKafka, folder: Path, *, topics: str) -> Network:
        """With topics of a name of its own, and nothing in them."""
        (folder / "sites.toml").write_text("[default]\nlatitude_deg = 48.15\nlongitude_deg = 11.57\n")
        overrides = (
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            *(f"kafka.{name}_topic={topics}.{name}" for name in TOPICS),
            "kafka.partitions=4",
            f'sites.file="{folder / "sites.toml"}"',
            f'stream.directory="{folder / "stream"}"',
            "stream.max_files_per_batch=20",
            "stream.driver_memory_mb=768",
            'monitoring.listen=""',
        )
        ensure_topics(load(overrides=overrides).kafka, kafka.bootstrap_servers)
        return cls(kafka, folder, overrides)

    @property
    def config(self) -> Config:
        return load(overrides=self.overrides)

    def send(self, first: int, last: int) -> None:
        """Files of those numbers from every site."""
        bank = FileBank([simulate_day(Site("munich", 48.15, 11.57), DAY, rng=np.random.default_rng(9),
                                      instrument="cl51", cadence_s=30)])  # fmt: skip
        start = np.datetime64(DAY, "us") + np.timedelta64(11, "h")
        feeds = []
        for number in range(NUM_SITES):
            (self.folder / f"site-{number}").mkdir(exist_ok=True)
            paths = []
            for turn in range(first, last):
                file = bank.file(f"site-{number}", 0, start + turn * bank.length)
                paths.append(self.folder / f"site-{number}" / file.name)
                paths[-1].write_bytes(file.raw)
            feeds.append(Feed(f"site-{number}", paths))
        told = replay(feeds, self.config.kafka, self.kafka.bootstrap_servers, rate=1e6)
        assert told.sent == NUM_SITES * (last - first)

    def sites(self) -> list[SiteStatus]:
        """What the stream has said of every site."""
        return read_sites(self.config.kafka, self.kafka.bootstrap_servers)

    def num_read(self) -> int:
        """Files that the sites' state has seen."""
        return sum(site.files for site in self.sites())

    def newest_layers(self) -> dict[str, dict]:
        """What a consumer that upserts holds."""
        newest = {key: json.loads(value) for key, value, _ in records_in(self.kafka, self.config.kafka.products_topic)}
        return {key: product for key, product in newest.items() if product["kind"] == "layers"}


def require_whole(network: Network, num_files: int) -> None:
    """Every profile of every site used once, and a product for every file."""
    for site in network.sites():
        assert (site.files, site.profiles, site.used) == (num_files, num_files * PROFILES, num_files * PROFILES), site
        assert (site.duplicate, site.late, site.rejected, site.faults) == (0, 0, 0, 0), site
    assert len(network.newest_layers()) == NUM_SITES * num_files
