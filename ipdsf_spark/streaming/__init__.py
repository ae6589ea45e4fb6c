"""Adapter: pyspark around the lidar room."""
