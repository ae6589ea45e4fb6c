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
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from ipdsf_spark.config import toml
from ipdsf_spark.config.broker import BrokerConfig
from ipdsf_spark.config.checks import shown
from ipdsf_spark.config.ct import CtConfig
from ipdsf_spark.config.edge import EdgeConfig
from ipdsf_spark.config.forecast import ForecastConfig
from ipdsf_spark.config.kafka import KafkaConfig
from ipdsf_spark.config.layers import LayersConfig
from ipdsf_spark.config.monitoring import MonitoringConfig
from ipdsf_spark.config.network import NetworkConfig
from ipdsf_spark.config.packing import PackingConfig
from ipdsf_spark.config.sites import SitesConfig
from ipdsf_spark.config.storage import StorageConfig
from ipdsf_spark.config.stream import StreamConfig
from ipdsf_spark.config.training import TrainingConfig
from ipdsf_spark.errors import ConfigError

VARIABLE: Final = "IPDSF_CONF"
BASE: Final = "base.toml"
LARGEST: Final = 2**31 - 1  # of whole numbers: Kafka and Spark keep most in 32 bits
LARGEST_WIDE: Final = 2**63 - 1
WIDE: Final = ("max_bytes_per_batch", "seed")  # keys that want more than 32 bits
PATHS: Final = ("directory", "file", "_location", "_keytab", "root", "watch", "model")  # how keys of paths end


@dataclass(frozen=True)
class Config:
    """The whole configuration, one attribute per section."""

    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    sites: SitesConfig = field(default_factory=SitesConfig)
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    layers: LayersConfig = field(default_factory=LayersConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    forecast: ForecastConfig = field(default_factory=ForecastConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    ct: CtConfig = field(default_factory=CtConfig)
    packing: PackingConfig = field(default_factory=PackingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def load(*files: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read conf/base.toml, then each file, then `section.key=value` overrides.

    Raises:
        ConfigError: a file or the folder of $IPDSF_CONF is missing, a file is not TOML, a key is unknown, or a value
            is wrong.
    """
    merged: dict[str, dict[str, Any]] = {}
    directory = conf_directory()
    if directory is not None:
        merged |= _anchored({"sites": {"file": SitesConfig().file}}, directory)
    base = conf_file(BASE)
    for path in [*([base] if base is not None else []), *map(_found, files)]:
        _merge(merged, _anchored(_read(path), path.parent), origin=str(path))
    for override in overrides:
        _merge(merged, _parse_override(override), origin=f"override {shown(override)}")
    return _build(merged)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """`config` with `section.key=value` overrides applied."""
    merged = {section.name: dataclasses.asdict(getattr(config, section.name)) for section in dataclasses.fields(config)}
    for override in overrides:
        _merge(merged, _parse_override(override), origin=f"override {shown(override)}")
    return _build(merged)


def conf_directory() -> Path | None:
    """The folder of the configuration: $IPDSF_CONF, or ./conf or conf beside the package where base.toml is in it.

    Who names a folder means that one: nothing is taken from another, and base.toml, which sets nothing as it comes, may
    be missing there. None if no folder is named and none found.

    Raises:
        ConfigError: $IPDSF_CONF names no folder.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_dir():
            raise ConfigError(
                f"{VARIABLE} is {named!r}, which is no folder: it names the one with sites.toml and perhaps {BASE}; "
                "unset, conf/ of the working directory or of the checkout is taken"
            )
        return Path(named)
    candidates = (Path("conf"), Path(__file__).resolve().parents[2] / "conf")
    return next((folder for folder in candidates if (folder / BASE).is_file()), None)


def conf_file(name: str) -> Path | None:
    """A file in the folder of the configuration; None if there is none."""
    directory = conf_directory()
    return directory / name if directory is not None and (directory / name).is_file() else None


def _found(file: str | Path) -> Path:
    """A file by its path; one that is not there is looked for from the folder that holds conf/.

    A driver that runs on a cluster was sent that folder and works in another one.
    """
    path, directory = Path(file), conf_directory()
    if path.is_absolute() or path.exists() or directory is None:
        return path
    beside = directory.parent / path
    return beside if beside.exists() else path


def _read(path: Path) -> dict[str, Any]:
    return toml.parsed(toml.text_of(path, "configuration"), str(path))


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
        raise ConfigError(f"override must be section.key=value, got {shown(override)}")
    try:
        said = toml.parsed(f"value = {text}", override)
    except ConfigError:
        said = {}
    # A bare word is a string (kafka.bootstrap_servers=host:9092), and so is what would be more than one value.
    return {section: {key: said["value"] if said.keys() == {"value"} else text.strip()}}


def _merge(target: dict[str, dict[str, Any]], source: Mapping[str, Any], *, origin: str) -> None:
    sections = get_type_hints(Config)
    for section, values in source.items():
        if section not in sections:
            raise ConfigError(f"{origin}: unknown section [{section}]{_nearest(section, sections)}")
        if not isinstance(values, Mapping):
            raise ConfigError(f"{origin}: [{section}] must be a table of keys, got {shown(values)}")
        types = get_type_hints(sections[section])
        for key, value in values.items():
            if key not in types:
                raise ConfigError(f"{origin}: unknown key {section}.{key}{_nearest(key, types)}")
            target.setdefault(section, {})[key] = _typed(value, types[key], name=f"{origin}: {section}.{key}")


def _typed(value: Any, wanted: Any, *, name: str) -> Any:
    if get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} must be a list, got {shown(value)}")
        return tuple(_typed(item, get_args(wanted)[0], name=name) for item in value)
    choices = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, got {value!r}")
    if type(value) is int and (int in choices or float in choices):
        largest = LARGEST_WIDE if name.endswith(WIDE) else LARGEST
        if abs(value) > largest:
            raise ConfigError(f"{name} must be at most {largest}, got {shown(value)}")
    if type(value) is str and str in choices:
        _check_text(value, name)
    if type(value) in choices:
        return value
    if float in choices and type(value) is int:
        return float(value)
    asked = " or ".join(_TYPE_NAMES.get(each, str(each)) for each in choices)
    raise ConfigError(f"{name} must be {asked}, got {shown(value)}")


def _check_text(value: str, name: str) -> None:
    """Whether files, Kafka and Java can have it, and a path is one."""
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ConfigError(f"{name} must be a text of Unicode without NUL, got {shown(value)}")
    if value.startswith("~") and name.endswith(PATHS):
        try:
            Path(value).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"{name} must be a path, got {shown(value)}: nobody here is called so") from error


_TYPE_NAMES: Final = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _build(merged: Mapping[str, Mapping[str, Any]]) -> Config:
    sections = get_type_hints(Config)
    return Config(**{section: sections[section](**values) for section, values in merged.items()})
