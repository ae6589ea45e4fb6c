"""Adapter: what the stream published, kept as tables that need neither Kafka nor Spark to be read."""
