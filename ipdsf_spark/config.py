"""One configuration for laptop and cluster: frozen dataclasses filled from conf/*.toml and overrides.

    load()                                   conf/base.toml
    load("conf/local.toml")                  base, then the differences in local
    load("conf/local.toml", overrides=["stream.trigger_ms=500"])

Files hold differences only; an unknown key is refused and the nearest name offered; a value of the wrong type or out of
range is refused with what would be right. Secrets are named by environment variable or file, never written here.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

from ipdsf_spark.errors import ConfigError

PARTITIONINGS: Final = ("by_site", "round_robin")
COMPRESSIONS: Final = ("zstd", "snappy", "none")
TASKS: Final = ("autoencode", "denoise", "depixelate")
NORMS: Final = ("group", "instance", "none")
PRECISIONS: Final = ("auto", "bf16", "fp32", "fp64")
SCALINGS: Final = ("sqrt", "linear", "none")


@dataclass(frozen=True)
class KafkaConfig:
    """Which Kafka, and which topics."""

    bootstrap_servers: str = ""  # empty = the embedded broker of [broker]
    files_topic: str = "ceilometer.files"
    products_topic: str = "ceilometer.layers"
    quarantine_topic: str = "ceilometer.quarantine"
    partitions: int = 50
    replication_factor: int = 1
    max_message_bytes: int = 8_000_000
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username_env: str = "IPDSF_KAFKA_USERNAME"
    sasl_password_env: str = "IPDSF_KAFKA_PASSWORD"
    ssl_ca_location: str = ""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(self.partitions >= 1, "kafka.partitions", "at least 1", self.partitions)
        _require(self.replication_factor >= 1, "kafka.replication_factor", "at least 1", self.replication_factor)


@dataclass(frozen=True)
class BrokerConfig:
    """The embedded Kafka."""

    directory: str = "~/.local/share/ipdsf/broker"
    brokers: int = 1
    heap_mb: int = 512

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(1 <= self.brokers <= 3, "broker.brokers", "1, 2 or 3", self.brokers)


@dataclass(frozen=True)
class SitesConfig:
    """Where the table of sites lies."""

    file: str = "sites.toml"  # relative to the configuration file that names it


@dataclass(frozen=True)
class EdgeConfig:
    """The agent beside the instrument."""

    watch: str = ""
    directory: str = "~/.local/share/ipdsf/edge"
    every_s: float = 0.0
    poll_s: float = 1.0
    settle_s: float = 2.0
    keep_days: int = 1_096
    disk_budget_mb: int = 20_000
    instrument: str = ""
    partitioning: str = "by_site"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(0 <= self.every_s <= 3_600, "edge.every_s", "between 0 and 3600", self.every_s)
        _require(self.poll_s > 0, "edge.poll_s", "above 0", self.poll_s)
        _require(self.settle_s >= 0, "edge.settle_s", "0 or more", self.settle_s)
        _require(self.keep_days >= 1, "edge.keep_days", "at least 1", self.keep_days)
        _require(self.disk_budget_mb >= 1, "edge.disk_budget_mb", "at least 1", self.disk_budget_mb)
        _require(self.partitioning in PARTITIONINGS, "edge.partitioning", " or ".join(PARTITIONINGS), self.partitioning)


@dataclass(frozen=True)
class StreamConfig:
    """The streaming job."""

    directory: str = "~/.local/share/ipdsf/stream"  # checkpoints and the Parquet archive
    starting_offsets: str = "earliest"
    trigger_ms: int = 0
    max_files_per_batch: int = 2_000
    max_bytes_per_batch: int = 268_435_456
    fetch_max_wait_ms: int = 1
    python_tasks: int = 0
    state_partitions: int = 0
    warm_daemon: bool = True
    fail_on_data_loss: bool = True
    archive_every_s: int = 30
    driver_memory_mb: int = 2_048
    driver_java_options: str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    kafka_package: str = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(
            self.starting_offsets in ("earliest", "latest"),
            "stream.starting_offsets",
            "'earliest' or 'latest'",
            self.starting_offsets,
        )
        for name in ("max_files_per_batch", "max_bytes_per_batch", "archive_every_s", "driver_memory_mb"):
            _require(getattr(self, name) >= 1, f"stream.{name}", "at least 1", getattr(self, name))
        for name in ("trigger_ms", "fetch_max_wait_ms", "python_tasks", "state_partitions"):
            _require(getattr(self, name) >= 0, f"stream.{name}", "0 or more", getattr(self, name))


@dataclass(frozen=True)
class LayersConfig:
    """The boundary-layer retrieval; the defaults are those of `lidar.mixing_height.LayerSettings`."""

    averaging_s: int = 300
    dilations_m: tuple[float, ...] = (200.0, 300.0, 400.0)
    min_strength: float = 0.05
    min_snr: float = 4.0
    lag_s: int = 7_200
    reorder_s: int = 600
    reset_gap_s: int = 3_600
    night_ceiling_m: float = 800.0
    ceiling_opens_after_sunrise_s: float = 3_600.0
    ceiling_growth_m_per_h: float = 600.0
    ceiling_closes_after_sunset_s: float = 3_600.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(60 <= self.averaging_s <= 3600, "layers.averaging_s", "between 60 and 3600", self.averaging_s)
        widths = self.dilations_m
        _require(bool(widths) and min(widths) >= 30, "layers.dilations_m", "widths of 30 m and more", widths)
        _require(self.lag_s >= self.averaging_s, "layers.lag_s", "at least layers.averaging_s", self.lag_s)
        _require(0 <= self.reorder_s < self.lag_s, "layers.reorder_s", "0 or more, below layers.lag_s", self.reorder_s)


@dataclass(frozen=True)
class StorageConfig:
    """The storage array on which packed cubes, models and generated volumes lie."""

    root: str = "~/.local/share/ipdsf/storage"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(bool(self.root.strip()), "storage.root", "a folder or a Hadoop-compatible URL", self.root)


@dataclass(frozen=True)
class CtConfig:
    """Contrast, cubes and training selection of CT volumes; the defaults are those of the `ct` room."""

    window_low_hu: int = -1000
    window_high_hu: int = 400
    linear_share: float = 0.3
    cube_size: int = 32
    overlap: int = 8
    air_share_kept: float = 0.1
    seed: int = 0
    pseudonym_key_env: str = "IPDSF_PSEUDONYM_KEY"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        low, high = self.window_low_hu, self.window_high_hu
        is_window = -32_768 <= low < high <= 32_767
        _require(is_window, "ct.window_low_hu and ct.window_high_hu", "rising HU within int16", (low, high))
        _require(0 < self.linear_share <= 1, "ct.linear_share", "above 0 and at most 1", self.linear_share)
        _require(self.cube_size in (32, 64, 128), "ct.cube_size", "32, 64 or 128", self.cube_size)
        half = self.cube_size // 2
        _require(0 <= self.overlap <= half, "ct.overlap", f"0 to {half}, half a cube", self.overlap)
        _require(0 <= self.air_share_kept <= 1, "ct.air_share_kept", "between 0 and 1", self.air_share_kept)


@dataclass(frozen=True)
class PackingConfig:
    """How cubes are written to the storage array."""

    row_group_mb: int = 8
    compression: str = "zstd"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(1 <= self.row_group_mb <= 1024, "packing.row_group_mb", "between 1 and 1024", self.row_group_mb)
        _require(self.compression in COMPRESSIONS, "packing.compression", " or ".join(COMPRESSIONS), self.compression)


@dataclass(frozen=True)
class TrainingConfig:
    """The training of the conditional GAN; the defaults are those of `training.settings` and the `gan` room."""

    task: str = "denoise"
    sigma_low: float = 0.025
    sigma_high: float = 0.1
    factor: int = 2
    is_flipped: bool = True
    width: int = 16
    halvings: int = 3
    norm: str = "group"
    discriminator_width: int = 16
    recomputes: bool = False
    batch: int = 8
    epochs: int = 100
    minutes: float = 0.0
    learning_rate: float = 4e-4
    discriminator_share: float = 0.5
    lr_scaling: str = "sqrt"
    warm_up_samples: int = 800
    l1_weight: float = 100.0
    ema_decay: float = 0.999
    precision: str = "auto"
    channels_last: bool = True
    validation_share: float = 0.02
    validate_every: int = 2_000
    patience: int = 10
    min_gain_db: float = 0.02
    checkpoint_every_s: float = 60.0
    cache_directory: str = "~/.cache/ipdsf/cubes"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _require(self.task in TASKS, "training.task", ", ".join(TASKS), self.task)
        sigma = (self.sigma_low, self.sigma_high)
        _require(0 <= sigma[0] <= sigma[1] <= 1, "training.sigma_low and sigma_high", "rising within 0 … 1", sigma)
        _require(self.norm in NORMS, "training.norm", ", ".join(NORMS), self.norm)
        _require(self.precision in PRECISIONS, "training.precision", ", ".join(PRECISIONS), self.precision)
        _require(self.lr_scaling in SCALINGS, "training.lr_scaling", ", ".join(SCALINGS), self.lr_scaling)
        for name in ("width", "halvings", "discriminator_width", "batch", "epochs", "validate_every"):
            _require(getattr(self, name) >= 1, f"training.{name}", "at least 1", getattr(self, name))
        _require(self.factor >= 2, "training.factor", "at least 2", self.factor)
        for name in ("minutes", "warm_up_samples", "l1_weight", "patience", "min_gain_db", "checkpoint_every_s"):
            _require(getattr(self, name) >= 0, f"training.{name}", "0 or more", getattr(self, name))
        for name in ("learning_rate", "discriminator_share"):
            _require(getattr(self, name) > 0, f"training.{name}", "above 0", getattr(self, name))
        for name in ("ema_decay", "validation_share"):
            _require(0 <= getattr(self, name) < 1, f"training.{name}", "0 or more, below 1", getattr(self, name))


@dataclass(frozen=True)
class Config:
    """The whole configuration, one attribute per section."""

    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    sites: SitesConfig = field(default_factory=SitesConfig)
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    layers: LayersConfig = field(default_factory=LayersConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    ct: CtConfig = field(default_factory=CtConfig)
    packing: PackingConfig = field(default_factory=PackingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def load(*files: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read conf/base.toml, then each file, then `section.key=value` overrides.

    Raises:
        ConfigError: a file is missing or not TOML, a key is unknown, or a value is wrong.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in [_base_file(), *map(Path, files)]:
        if path is not None:
            _merge(merged, _anchored(_read(path), path.parent), origin=str(path))
    for override in overrides:
        _merge(merged, _parse_override(override), origin=f"override {override!r}")
    return _build(merged)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """`config` with `section.key=value` overrides applied."""
    merged = {section.name: dataclasses.asdict(getattr(config, section.name)) for section in dataclasses.fields(config)}
    for override in overrides:
        _merge(merged, _parse_override(override), origin=f"override {override!r}")
    return _build(merged)


def conf_directory() -> Path | None:
    """The folder with base.toml: $IPDSF_CONF, ./conf, or conf beside the package; None if there is none."""
    candidates = [os.environ.get("IPDSF_CONF"), "conf", Path(__file__).resolve().parent.parent / "conf"]
    return next((Path(c) for c in candidates if c and (Path(c) / "base.toml").is_file()), None)


def _base_file() -> Path | None:
    directory = conf_directory()
    return directory / "base.toml" if directory else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _anchored(values: dict[str, Any], directory: Path) -> dict[str, Any]:
    """`values` with the table of sites taken relative to the file that names it, not to the working directory."""
    sites = values.get("sites")
    if isinstance(sites, dict) and isinstance(sites.get("file"), str):
        return {**values, "sites": {**sites, "file": str(directory / Path(sites["file"]).expanduser())}}
    return values


def _parse_override(override: str) -> dict[str, Any]:
    name, separator, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (separator and dot and section and key):
        raise ConfigError(f"override must be section.key=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string: kafka.bootstrap_servers=host:9092
    return {section: {key: value}}


def _merge(target: dict[str, dict[str, Any]], source: Mapping[str, Any], *, origin: str) -> None:
    sections = get_type_hints(Config)
    for section, values in source.items():
        if section not in sections:
            raise ConfigError(f"{origin}: unknown section [{section}]{_nearest(section, sections)}")
        if not isinstance(values, Mapping):
            raise ConfigError(f"{origin}: [{section}] must be a table of keys, got {values!r}")
        types = get_type_hints(sections[section])
        for key, value in values.items():
            if key not in types:
                raise ConfigError(f"{origin}: unknown key {section}.{key}{_nearest(key, types)}")
            target.setdefault(section, {})[key] = _typed(value, types[key], name=f"{origin}: {section}.{key}")


def _typed(value: Any, wanted: Any, *, name: str) -> Any:
    if get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} must be a list, got {value!r}")
        return tuple(_typed(item, get_args(wanted)[0], name=name) for item in value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{name} must be {_TYPE_NAMES.get(wanted, wanted)}, got {value!r}")
    return value


_TYPE_NAMES: Final = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _build(merged: Mapping[str, Mapping[str, Any]]) -> Config:
    sections = get_type_hints(Config)
    return Config(**{section: sections[section](**values) for section, values in merged.items()})


def _require(condition: bool, name: str, right: str, got: object) -> None:
    if not condition:
        raise ConfigError(f"{name} must be {right}, got {got!r}")
