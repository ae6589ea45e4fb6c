"""Adapter: recorded files as a live network, for demonstrations and load tests."""
