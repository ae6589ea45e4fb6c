"""Adapter: a real Kafka broker for laptops and tests, and what every Kafka client of the project shares.

with EmbeddedKafka(directory) as kafka: ... kafka.bootstrap_servers
resolve_bootstrap(config)          the configured Kafka, or the embedded one that runs
ensure_topics(config.kafka, bootstrap)
client_options / spark_options     security settings for librdkafka and for Spark
"""

from ipdsf_spark.broker.client import client_options, spark_options
from ipdsf_spark.broker.embedded import EmbeddedKafka, resolve_bootstrap
from ipdsf_spark.broker.topics import ensure_topics, num_partitions

__all__ = [
    "EmbeddedKafka",
    "client_options",
    "ensure_topics",
    "num_partitions",
    "resolve_bootstrap",
    "spark_options",
]
