"""Adapter: a real Kafka broker for laptops and tests.

with EmbeddedKafka(directory) as kafka: ... kafka.bootstrap_servers
resolve_bootstrap(config)          the configured Kafka, or the embedded one that runs
"""

from ipdsf_spark.devkafka.embedded import EmbeddedKafka, resolve_bootstrap

__all__ = ["EmbeddedKafka", "resolve_bootstrap"]
