"""What a year costs on disk: topics and tables of a network, measured on the mean hour of a simulated day.

    python tests/bench/bench_growth.py                     a year of 200 sites that send a file every five minutes
    python tests/bench/bench_growth.py --sites 3000

Runs the stream's own decoder and site stage without Spark on genuine CL51 messages, so that records are those of the
topics; Kafka's overhead per record is what its format adds; tables are the archive's own, compacted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np

from ipdsf_spark.archive.delta.log import snapshot
from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.tables import NEWEST, PARTITION, TABLES, Record, file_schema
from ipdsf_spark.archive.upkeep import compact
from ipdsf_spark.config import load
from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece

HOURS_A_YEAR = 8_766
RECORD_OVERHEAD = 30  # of Kafka's format: length, time, offset and headers of a record in a batch
FILE_MINUTES = 5
START_MS = 1_624_233_600_000  # 2021-06-21
WARM_UP_FILES = 36  # three hours: heights are final, the state is full
HOURS = 20  # measured


def rows(profiles: Profiles, start: int, stop: int) -> Profiles:
    names = ("time", "beta", "cloud_base_m", "vertical_visibility_m", "maker_layer_height_m", "sky_cover_octas",
             "sky_base_m", "is_precipitation", "is_fog", "tilt_deg")  # fmt: skip
    cut = {name: getattr(profiles, name)[start:stop] for name in names}
    return dataclasses.replace(profiles, alarms=(), health={}, depolarisation=None, **cut)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=200, help="of the network whose year is computed")
    args = parser.parse_args()
    config = load()
    site = Site("oslo", 59.94, 10.72, instrument="Vaisala CL51")
    day = simulate_day(site, date(2021, 6, 21), rng=np.random.default_rng(5), instrument="cl51", cadence_s=15.0)
    per_file = FILE_MINUTES * 4
    decoder = Decoder({"oslo": site}, config.layers.averaging_s, config.kafka.max_message_bytes)
    stage = stage_of(config)
    state, count, size = b"", Counter[str](), Counter[str]()
    kept: dict[str, list[Record]] = {kind.name: [] for kind in TABLES}
    first = 0
    num_files = WARM_UP_FILES + HOURS * 60 // FILE_MINUTES
    for number in range(num_files):
        raw = vaisala_cl.encode_file(rows(day.profiles, first + number * per_file, first + (number + 1) * per_file))
        sent_ms = START_MS + (number + 1) * FILE_MINUTES * 60_000
        piece = Piece.from_bytes(decoder.row_of("oslo", raw, "f", sent_ms, sent_ms, None, "files", 0, number)[1])
        outcome = stage.step(site, [piece], state)
        state = outcome.state.to_bytes() if outcome.state is not None else b""
        if number < WARM_UP_FILES:
            continue
        count["files"] += 1
        size["files"] += len(raw)
        for offset, found in enumerate(outcome.records):
            topic = {config.kafka.products_topic: "products", config.kafka.averages_topic: "averages"}.get(found.topic)
            name = topic or "quarantine"
            count[name] += 1
            size[name] += len(found.key) + len(found.value) + RECORD_OVERHEAD
            if topic:
                kept[topic].append(Record(found.key, found.value, sent_ms, 0, 100 * number + offset))
    keys = {record.key for record in kept["products"]}
    with tempfile.TemporaryDirectory() as folder:
        tables = table_bytes(Path(folder), kept)
    year = HOURS_A_YEAR * args.sites / HOURS / 1e9  # of what was measured, in GB
    report = {
        "files topic": {"per_hour": count["files"] / HOURS, "kb_per_hour": size["files"] / HOURS / 1e3,
                        "gb_of_7_days": size["files"] * 168 * args.sites / HOURS / 1e9},
        "averages topic": {"per_hour": count["averages"] / HOURS, "kb_per_hour": size["averages"] / HOURS / 1e3,
                           "gb_of_30_days": size["averages"] * 720 * args.sites / HOURS / 1e9},
        "products topic": {"per_hour": count["products"] / HOURS, "keys_per_hour": len(keys) / HOURS,
                           "kb_per_hour": size["products"] / HOURS / 1e3,
                           "gb_of_a_year": size["products"] / count["products"] * len(keys) * year},
        "quarantine topic": {"per_hour": count["quarantine"] / HOURS},
    }  # fmt: skip
    for name, value in tables.items():
        report[f"{name} table"] = {"kb_per_hour": value / HOURS / 1e3, "gb_of_a_year": value * year}
    print(json.dumps({"sites": args.sites, "state_kb_per_site": len(state) / 1e3} | report, indent=1))
    return 0


def table_bytes(folder: Path, kept: dict[str, list[Record]]) -> dict[str, int]:
    """Bytes of each compacted table, and of the newest view."""
    for kind in TABLES:
        for begin in range(0, len(kept[kind.name]), 100):
            for day, batches in kind.rows(kept[kind.name][begin : begin + 100])[0].items():
                file = write_file(folder / kind.name, batches, file_schema(kind.schema), {PARTITION: day})
                commit(folder / kind.name, schema=kind.schema, partition_columns=[PARTITION], adds=[file])
    compact(folder, keep_h=0)
    return {name: snapshot(folder / name).num_bytes for name in (*(kind.name for kind in TABLES), NEWEST)}


if __name__ == "__main__":
    raise SystemExit(main())
