"""Adapter: the Spark session of every job, and what its executors are given."""
