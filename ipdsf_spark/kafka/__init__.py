"""Adapter: what every Kafka client of the project shares: options, topics, record sizes, dead letters."""

from ipdsf_spark.kafka.client import client_options, spark_options
from ipdsf_spark.kafka.topics import ensure_files_topic, ensure_topics, num_partitions

__all__ = ["client_options", "ensure_files_topic", "ensure_topics", "num_partitions", "spark_options"]
