"""What a Spark session needs to write to an object store: Hadoop's connector, and where the store is."""

from __future__ import annotations

from typing import Final

from ipdsf_spark.config.storage import StorageConfig
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.object_store import endpoint, is_in_object_store, region

CONNECTOR: Final = "org.apache.hadoop.fs.s3a.S3AFileSystem"
BUNDLE: Final = "software.amazon.awssdk:bundle"  # half a gigabyte, of which the connector needs the S3 client


def store_settings(storage: StorageConfig) -> dict[str, str]:
    """Settings of a session for a storage array in an object store; none for any other.

    Credentials are no part of them: the connector takes them from the environment of driver and executors, or from the
    role of their machines, as every tool does.
    """
    if not is_in_object_store(location_of(storage.root)):
        return {}
    settings = {
        "spark.jars.packages": storage.s3_packages,
        "spark.jars.excludes": BUNDLE,
        "spark.hadoop.fs.s3.impl": CONNECTOR,
        "spark.hadoop.fs.s3a.attempts.maximum": "3",
        "spark.hadoop.fs.s3a.retry.limit": "3",
        "spark.hadoop.fs.s3a.connection.establish.timeout": "20s",
    }
    if endpoint():
        settings["spark.hadoop.fs.s3a.endpoint"] = endpoint()
        settings["spark.hadoop.fs.s3a.path.style.access"] = "true"
        settings["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(endpoint().startswith("https://")).lower()
    if region() or endpoint():
        settings["spark.hadoop.fs.s3a.endpoint.region"] = region() or "us-east-1"
    return settings
