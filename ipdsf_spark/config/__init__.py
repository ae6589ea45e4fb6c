"""One configuration for laptop and cluster: a module per section with its checks, and how files become values."""

from ipdsf_spark.config.broker import BrokerConfig
from ipdsf_spark.config.ct import CtConfig
from ipdsf_spark.config.edge import EdgeConfig
from ipdsf_spark.config.forecast import ForecastConfig
from ipdsf_spark.config.kafka import KafkaConfig
from ipdsf_spark.config.layers import LayersConfig
from ipdsf_spark.config.loading import Config, conf_directory, conf_file, load, with_overrides
from ipdsf_spark.config.monitoring import MonitoringConfig
from ipdsf_spark.config.network import NetworkConfig
from ipdsf_spark.config.packing import PackingConfig
from ipdsf_spark.config.sites import SitesConfig
from ipdsf_spark.config.storage import StorageConfig
from ipdsf_spark.config.stream import StreamConfig
from ipdsf_spark.config.training import TrainingConfig

__all__ = [
    "BrokerConfig",
    "Config",
    "CtConfig",
    "EdgeConfig",
    "ForecastConfig",
    "KafkaConfig",
    "LayersConfig",
    "MonitoringConfig",
    "NetworkConfig",
    "PackingConfig",
    "SitesConfig",
    "StorageConfig",
    "StreamConfig",
    "TrainingConfig",
    "conf_directory",
    "conf_file",
    "load",
    "with_overrides",
]
