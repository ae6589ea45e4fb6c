"""Both flows once, on whatever versions are installed: a smoke before an upgrade, and of an upgrade.

    python scripts/smoke.py                                      in a folder of its own, removed afterwards
    python scripts/smoke.py --only stream --folder F --turns 2   half of the files; the same again, the other half

The stream: genuine files of two simulated sites through a real Kafka, the Spark job and the archive; the balance must
hold, and the archived heights must be those of the same files without Kafka and Spark. Imaging: phantoms packed by
Spark, a GAN trained on their cubes by two Horovod processes on Spark, a volume restored with it.

With --turns a call sends its share of the files and keeps everything in the folder. The next call goes on with the
same broker, checkpoint and archive, and may be made with another Python: what is judged is the whole again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import checkout  # noqa: F401  first: it makes the package importable
import numpy as np

from ipdsf_spark.cli.main import main as ipdsf
from ipdsf_spark.config import Config, load
from ipdsf_spark.monitoring.provenance import machine

PACKAGES: Final = ("pyspark", "pyarrow", "numpy", "pandas", "petastorm", "torch", "horovod")
SITES: Final = 2
TOLERANCE_M: Final = 0.2  # the archive rounds heights to a decimetre
TINY: Final = ("training.width=4", "training.halvings=2", "training.discriminator_width=4")


class Smoke(Exception):
    """What is not as it should be."""


def main() -> int:
    """Run it; 0 if everything is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("stream", "imaging"), help="one of the flows")
    parser.add_argument("--folder", type=Path, help="where everything stays")
    parser.add_argument("--turns", type=int, default=1, metavar="N", help="calls in which the files are sent")
    parser.add_argument("--workers", type=int, default=2, metavar="K", help="Horovod processes; 0 = without")
    args = parser.parse_args()
    print(", ".join([machine(), *(f"{name} {_version(name)}" for name in PACKAGES)]), flush=True)
    begun = time.monotonic()
    with contextlib.ExitStack() as held:
        folder = args.folder or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="ipdsf-smoke-")))
        try:
            if args.only != "imaging":
                stream(folder.absolute() / "stream", args.turns)
            if args.only != "stream":
                imaging(folder.absolute() / "imaging", args.workers)
        except Smoke as error:
            print(f"smoke: {error}", file=sys.stderr)
            return 1
    print(f"smoke: all as it should be ({time.monotonic() - begun:.0f} s)")
    return 0


def stream(folder: Path, turns: int) -> None:
    """Files of two sites to heights in the archive, or this turn's share of them."""
    from ipdsf_spark.devkafka import EmbeddedKafka
    from ipdsf_spark.loadgen.replay import feeds_of, replay
    from ipdsf_spark.spark.jvm import end_jvm
    from ipdsf_spark.stream.job import StreamJob

    folder.mkdir(parents=True, exist_ok=True)
    network, note = folder / "network", folder / "turns.json"
    turn = len(json.loads(note.read_text())) if note.exists() else 0
    if turn >= turns:
        raise Smoke(f"{folder}: all {turns} turn(s) have been taken")
    if not network.exists():
        with step("simulate"):
            kind = ["--sites", str(SITES), "--instrument", "cl51", "--scenario", "clear", "--hours", "3"]
            call("simulate", *kind, "--date", "2026-06-15", "--start", "09:00", "-o", str(network))
    feeds = feeds_of(network)
    num_files = sum(len(feed.files) for feed in feeds)
    begin, end = num_files * turn // turns, num_files * (turn + 1) // turns
    with EmbeddedKafka(folder / "kafka") as kafka:
        config = load(
            overrides=[
                f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
                "kafka.partitions=4",
                f"stream.directory={json.dumps(str(folder / 'job'))}",
                "stream.archive_every_s=1",
                'monitoring.listen=""',
                f"sites.file={json.dumps(str(network / 'sites.toml'))}",
            ]
        )
        with step(f"stream, files {begin + 1} to {end} of {num_files}"):
            job = StreamJob(config).start()
            sent = replay(feeds, config.kafka, kafka.bootstrap_servers, rate=1000.0, begin=begin, count=end - begin)
            job.drain()
            job.stop()
            end_jvm()  # its class path has the connector, that of the packing has not
        require(sent.sent == end - begin, f"{sent.sent} of {end - begin} files were sent")
        totals = job.listener.totals
        require(totals.is_balanced and totals.read == sent.sent, f"{totals.read} files read, {totals}")
    with step("compare"):
        num = compare(config, {feed.site: feed.files[: end // SITES] for feed in feeds})
    note.write_text(json.dumps([*(json.loads(note.read_text()) if note.exists() else []), _version("pyspark")]))
    print(f"  {num} final heights are those of the files read directly; turn {turn + 1} of {turns}", flush=True)


def compare(config: Config, files: Mapping[str, Sequence[Path]]) -> int:
    """How many final heights of the archive are those of the files themselves; all must be."""
    from ipdsf_spark.archive.reading import read_products
    from ipdsf_spark.archive.tables import archive_directory
    from ipdsf_spark.lidar.instruments import decode
    from ipdsf_spark.lidar.layers.mixing_height import retrieve
    from ipdsf_spark.sites import layer_settings, site_named, sites_of

    products = read_products(archive_directory(config))
    found = 0
    for site, paths in files.items():
        blocks = [block for path in paths for block in decode(path.read_bytes()).blocks]
        layers = retrieve(blocks, site_named(sites_of(config), site), layer_settings(config))
        expected = {str(time)[:19]: h for time, h in zip(layers.time, layers.mixing_height_m, strict=True)}
        final = products[(products["site"] == site) & ~products["provisional"]]
        for moment, height in zip(final["time"], final["mixing_height_m"], strict=True):
            direct = expected.get(f"{moment:%Y-%m-%dT%H:%M:%S}", float("nan"))
            is_same = np.isclose(direct, height, rtol=0, atol=TOLERANCE_M, equal_nan=True)
            require(bool(is_same), f"{site} {moment}: {height} m in the archive, {direct} m from its files")
            found += 1
        num = len(set(products[products["site"] == site]["time"]))
        require(num == len(expected), f"{site}: {num} intervals in the archive, {len(expected)} in its files")
    require(found > 0, "no final height came")
    return found


def imaging(folder: Path, workers: int) -> None:
    """Phantoms to cubes, to a model, to a restored volume."""
    from ipdsf_spark.ct.phantom import chest_phantom
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.reading import read_volume
    from ipdsf_spark.ct.writing import write_volume

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in range(3):
        volume = chest_phantom((32, 64, 64), seed=seed, spacing_mm=(8.0, 5.6, 5.6)).volume
        made = Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC))
        paths.append(str(write_volume(folder / f"chest-{seed}.nii.gz", volume, made)))
    where = ["--set", f"storage.root={folder / 'array'}", "--set", f"training.cache_directory={folder / 'cache'}"]
    tiny = [word for setting in TINY for word in ("--set", setting)]
    with step("pack"):
        call("ct", "pack", "--name", "chest", "--train", *paths[:2], "--test", paths[2], *where)
    with step(f"train, {workers} Horovod process(es)"):
        call("ct", "train", "--name", "chest", "--task", "denoise", "--samples", "64", "--threads", "1", "--device",
             "cpu", "--workers", str(workers), *tiny, *where)  # fmt: skip
    out = folder / "clean.nii.gz"
    with step("generate"):
        call("ct", "generate", paths[2], "--model", "chest-denoise", "-o", str(out), "--device", "cpu", *where)
    before, after = read_volume(paths[2]), read_volume(str(out))
    require(after.hu.shape == before.hu.shape, f"{after.hu.shape} voxels of {before.hu.shape}")
    require(bool(np.isfinite(after.hu).all()) and after.hu.std() > 0, "the restored volume is empty")


def call(*words: str) -> None:
    """A verb of the command."""
    require(ipdsf(list(words)) == 0, f"`ipdsf {' '.join(words[:2])}` failed")


def require(is_right: bool, what: str) -> None:
    """Say what is wrong."""
    if not is_right:
        raise Smoke(what)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say how long something took."""
    begun = time.monotonic()
    yield
    print(f"  {time.monotonic() - begun:5.1f} s  {name}", flush=True)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    sys.exit(main())
