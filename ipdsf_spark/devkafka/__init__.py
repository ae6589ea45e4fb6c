"""Adapter: a real Kafka broker for laptops and tests.

with EmbeddedKafka(directory) as kafka: ... kafka.bootstrap_servers
resolve_bootstrap(config)          the configured Kafka, or the embedded one that runs
"""

from ipdsf_spark.devkafka.daemon import resolve_bootstrap
from ipdsf_spark.devkafka.embedded import EmbeddedKafka

__all__ = ["EmbeddedKafka", "resolve_bootstrap"]
