"""The live query: files from Kafka, decoded, tracked per site, products and quarantine to Kafka.

One query with one job per micro-batch. Kafka partitions are the unit of parallel reading; `coalesce` makes the cores
the unit of Python, and the shuffle by site brings each site's files to its state. Products and quarantined bytes
leave through one sink, told apart by the topic column, so that a batch is committed or repeated as a whole. Products
are keyed by site and time and quarantine records by their origin, in topics read by key: a repeated batch replaces,
never adds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from ipdsf_spark.config import Config, KafkaConfig
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import spark_options
from ipdsf_spark.lidar.operators import Parameters, operators_named
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring.progress import COUNTS_OF_TASKS
from ipdsf_spark.sites import layer_settings, sites_of
from ipdsf_spark.spark.checkpoint import checkpoint_directory
from ipdsf_spark.spark.session import kafka_package, num_cores, num_reading_tasks
from ipdsf_spark.stream import schemas
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.operate import Operate
from ipdsf_spark.stream.site_stage import (
    AVERAGES_KIND,
    JOINED_KIND,
    LATE_KIND,
    QUARANTINE_KIND,
    SITE_KIND,
    SiteStage,
    Timing,
    Topics,
)

logger = logging.getLogger(__name__)

LIVE_QUERY: Final = "ipdsf-live"
NO_PRODUCTS: Final = (AVERAGES_KIND, QUARANTINE_KIND, LATE_KIND, JOINED_KIND, SITE_KIND)


def kafka_source(
    spark: SparkSession, config: Config, bootstrap: str, subscription: tuple[str, str], *, max_records: int
) -> DataFrame:
    """Topics as a stream of records with headers.

    Args:
        spark: session.
        config: Kafka options.
        bootstrap: where Kafka is.
        subscription: Spark's option that names them, and its value: `("subscribe", topic)`.
        max_records: admitted to one micro-batch.

    Raises:
        ConfigError: the session knows no Kafka.
    """
    stream = config.stream
    source = (
        spark.readStream.format("kafka")
        .options(**spark_options(config.kafka, bootstrap))
        .option(*subscription)
        .option("startingOffsets", stream.starting_offsets)
        .option("maxOffsetsPerTrigger", max_records)
        .option("failOnDataLoss", str(stream.fail_on_data_loss).lower())
        .option("includeHeaders", "true")
        # A record may be as large as the topic allows, and one fetch must hold it.
        .option("kafka.max.partition.fetch.bytes", max(1_048_576, config.kafka.max_message_bytes))
    )
    if stream.fetch_max_wait_ms:
        # Spark asks for offsets on a connection whose prefetch the broker has parked for up to this long, once per
        # partition and batch: the client's default of 500 ms costs seconds.
        source = source.option("kafka.fetch.max.wait.ms", stream.fetch_max_wait_ms)
    try:
        return source.load()
    except AnalysisException as error:
        if "Failed to find data source: kafka" not in str(error):
            raise
        raise ConfigError(
            f"this Spark was started without the Kafka connector: give it spark.jars.packages={kafka_package(config)} "
            "before the first session of this process, or begin the job in a process of its own"
        ) from error


def read_files(spark: SparkSession, config: Config, bootstrap: str, *, max_files: int) -> DataFrame:
    """The files topic as a stream of FILES rows.

    Args:
        spark: session.
        config: topics and Kafka options.
        bootstrap: where Kafka is.
        max_files: rows admitted to one micro-batch.

    Raises:
        ConfigError: the session knows no Kafka.
    """
    records = kafka_source(spark, config, bootstrap, _subscription(config.kafka), max_records=max_files)
    return records.select(
        F.coalesce(_text(F.col("key")), _header("site"), F.lit("")).alias("site"),
        F.coalesce(F.col("value"), F.lit(b"")).alias("raw"),
        F.coalesce(_header("file"), F.lit("")).alias("file"),
        _header("sent_ms").try_cast("long").alias("sent_ms"),
        F.unix_millis("timestamp").alias("published_ms"),
        F.coalesce(_header("seq").try_cast("long"), F.lit(0)).alias("seq"),
        F.coalesce(_header("preamble").try_cast("int"), F.lit(0)).alias("preamble"),
        _header("joined").alias("joined"),
        "topic",
        "partition",
        "offset",
    )


def _subscription(kafka: KafkaConfig) -> tuple[str, str]:
    """The topic of all sites; or every site's, those that are made while the query runs included."""
    if kafka.topic_per_site:
        return "subscribePattern", rf"\Q{kafka.files_topic}\E(\..+)?"
    return "subscribe", kafka.files_topic


def _header(name: str) -> Column:
    """The first header of that name; Kafka allows several, so this is no map, whose keys must be unique."""
    return _text(F.expr(f"get(filter(headers, h -> h.key = '{name}'), 0).value"))


def _text(raw: Column) -> Column:
    """Bytes as text; what is no UTF-8, which Arrow and with it Python would refuse, becomes U+FFFD."""
    return F.make_valid_utf8(raw.cast("string"))


def with_averages(files: DataFrame, decoder: Decoder, *, tasks: int) -> DataFrame:
    """Site and piece of every file: its profiles as averages, and every rejected stretch with its reason."""
    gathered = files.coalesce(tasks) if tasks else files
    counted = gathered.mapInArrow(decoder, schemas.DECODED)
    # Stages that a lost executor took with it are done again, and Spark adds up what they count: equal counts are one.
    counted = counted.observe("files", F.collect_set("counts").alias(COUNTS_OF_TASKS))
    # Every column costs every group of the next stage a conversion, and every site of every batch is a group.
    return counted.select("site", "piece")


def with_products(decoded: DataFrame, operate: Operate) -> DataFrame:
    """OUTGOING rows: products that are new or revised, averages, and what was quarantined."""
    return (
        decoded.groupBy("site")
        .applyInPandasWithState(
            operate,
            outputStructType=schemas.OUTGOING,
            stateStructType=schemas.STATE,
            outputMode="append",
            timeoutConf="ProcessingTimeTimeout",
        )
        .observe(
            "products",
            F.count_if(~F.col("kind").isin(*NO_PRODUCTS)).alias("products"),
            F.count_if(F.col("kind") == AVERAGES_KIND).alias("averages"),
            F.count_if(F.col("kind") == QUARANTINE_KIND).alias("dead_letters"),
            F.sum(F.when(F.col("kind") == JOINED_KIND, F.col("num")).otherwise(0)).alias("joined"),
            F.sum(F.when(F.col("kind") == LATE_KIND, F.col("num")).otherwise(0)).alias("late"),
        )
    )


def start_live(
    spark: SparkSession, config: Config, bootstrap: str, *, max_files: int, sites: Mapping[str, Site] | None = None
) -> StreamingQuery:
    """Start the live query and return it.

    Args:
        spark: session.
        config: the whole configuration.
        bootstrap: where Kafka is.
        max_files: rows admitted to one micro-batch.
        sites: the table of sites; read from its file by default.
    """
    tasks = config.stream.python_tasks or num_reading_tasks(spark, config.kafka.partitions)
    spark.conf.set("spark.sql.shuffle.partitions", str(config.stream.state_partitions or num_cores(spark)))
    sites = sites_of(config) if sites is None else sites
    kafka, longest_s = config.kafka, config.stream.longest_step_s
    decoder = Decoder(sites, config.layers.averaging_s, kafka.max_message_bytes, kafka.files_topic, longest_s)
    outgoing = (
        read_files(spark, config, bootstrap, max_files=max_files)
        .transform(with_averages, decoder, tasks=tasks)
        .transform(with_products, Operate(sites, stage_of(config)))
        .select("topic", "key", "value", "headers")
    )
    writer = (
        outgoing.writeStream.format("kafka")
        .queryName(LIVE_QUERY)
        .options(**spark_options(config.kafka, bootstrap))
        .option("includeHeaders", "true")
        .option("kafka.max.request.size", 2 * config.kafka.max_message_bytes)
        .option("kafka.acks", "all")
        .option("checkpointLocation", str(checkpoint_directory(config) / "live"))
        .outputMode("append")
    )
    if config.stream.trigger_ms:
        writer = writer.trigger(processingTime=f"{config.stream.trigger_ms} milliseconds")
    return writer.start()


def stage_of(config: Config) -> SiteStage:
    """The operators and topics that the configuration names.

    Raises:
        ConfigError: an operator does not exist, or lacks what it needs.
    """
    layers = layer_settings(config)
    kafka, stream = config.kafka, config.stream
    parameters = Parameters(layers.averaging_s, layers, config.forecast.model, config.forecast.sha256)
    return SiteStage(
        operators=operators_named(stream.operators, parameters),
        topics=Topics(
            kafka.files_topic,
            kafka.averages_topic,
            kafka.products_topic,
            kafka.sites_topic,
            kafka.quarantine_topic,
            kafka.max_message_bytes,
        ),
        timing=Timing(
            interval_s=layers.averaging_s,
            reorder=layers.reorder_intervals,
            silence_s=layers.reset_gap_s + layers.reorder_s,
            forget_s=86_400 * stream.forget_site_after_days,
        ),
        publishes_averages=stream.publish_averages,
        longest_s=stream.longest_step_s,
    )
