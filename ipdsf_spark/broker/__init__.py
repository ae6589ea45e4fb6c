"""Adapter: a real Kafka broker for laptops and tests."""
