"""Adapter: pyspark around the lidar room: source, decode, operators, sinks, job."""
