"""The archive query: products from their topic to Parquet, and reading them back without Kafka.

Live and archive are two queries, so that a slow disk never delays a height. The archive holds every revision; reading
keeps the newest of each site and time, which also makes a repeated write harmless.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.dataset as ds
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from ipdsf_spark.archive import schemas
from ipdsf_spark.config import Config
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka import spark_options
from ipdsf_spark.spark.checkpoint import checkpoint_directory

ARCHIVE_QUERY: Final = "ipdsf-archive"
LAYERS_KIND: Final = "layers"
MAX_PRODUCTS: Final = 200_000  # rows of one archive batch


def read_product_records(spark: SparkSession, config: Config, bootstrap: str) -> DataFrame:
    """The products topic as a stream: the columns of PRODUCT, where the record lies and when it was written."""
    return (
        spark.readStream.format("kafka")
        .options(**spark_options(config.kafka, bootstrap))
        .option("subscribe", config.kafka.products_topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", MAX_PRODUCTS)
        .option("failOnDataLoss", "false")  # compaction removes superseded values by design
        .load()
        .select(
            F.from_json(F.col("value").cast("string"), schemas.PRODUCT).alias("product"),
            F.col("timestamp").alias("published"),
            "partition",
            "offset",
        )
        .where(F.col("product.kind") == LAYERS_KIND)
        .select("product.*", "published", "partition", "offset", F.to_date("product.time").alias("date"))
    )


def start_archive(spark: SparkSession, config: Config, bootstrap: str) -> StreamingQuery:
    """Start the archive query and return it."""
    return (
        read_product_records(spark, config, bootstrap)
        .coalesce(1)  # few, larger files
        .writeStream.format("parquet")
        .queryName(ARCHIVE_QUERY)
        .option("path", str(archive_directory(config)))
        .option("checkpointLocation", str(checkpoint_directory(config) / "archive"))
        .partitionBy("date")
        .trigger(processingTime=f"{config.stream.archive_every_s} seconds")
        .start()
    )


def archive_directory(config: Config) -> Path:
    """Where the Parquet files lie."""
    return Path(config.stream.directory).expanduser() / "products"


def read_products(directory: str | Path) -> pd.DataFrame:
    """The newest height of every site and time, sorted; needs neither Kafka nor Spark.

    Raises:
        InputError: there is no archive.
    """
    folder = Path(directory)
    if not any(folder.rglob("*.parquet")):
        raise InputError(
            f"no archive of products at {folder}; the streaming job writes it every stream.archive_every_s"
        )
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table().to_pandas()
    newest: pd.DataFrame = table.sort_values(["partition", "offset"]).drop_duplicates(["site", "time"], keep="last")
    return newest.sort_values(["site", "time"], ignore_index=True)
