"""Every column of the streaming room, written once."""

from __future__ import annotations

from typing import Final

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)


def _struct(**fields: object) -> StructType:
    return StructType([StructField(name, kind) for name, kind in fields.items()])  # type: ignore[arg-type]


# One Kafka record = one file, as the edge sent it.
FILES: Final = _struct(
    site=StringType(),
    raw=BinaryType(),
    file=StringType(),
    sent_ms=LongType(),
    topic=StringType(),
    partition=IntegerType(),
    offset=LongType(),
)

# What decoding a file gave: one row of kind "profiles" if it gave any, and one of kind "rejected" per bad stretch.
DECODED: Final = _struct(
    site=StringType(),
    kind=StringType(),
    summary=BinaryType(),  # kind "profiles": mergeable sums (lidar.mixing_height.summarise)
    raw=BinaryType(),  # kind "rejected": the stretch; kind "profiles": the whole file, should it prove late
    start=IntegerType(),  # byte offset of the stretch in the file
    reason=StringType(),
    head=BinaryType(),  # may end a message begun in the site's previous file
    tail=BinaryType(),  # unfinished message that the site's next file may complete
    file=StringType(),
    sent_ms=LongType(),
    position=StringType(),  # topic-partition-offset
    num_files=IntegerType(),  # 1 on the first row of a file, so that sums count files once
    num_decoded=IntegerType(),
    num_quarantined=IntegerType(),
    num_both=IntegerType(),
    num_profiles=IntegerType(),
)

# What goes to Kafka, with the counts that the metrics add up.
OUTGOING: Final = _struct(
    topic=StringType(),
    key=BinaryType(),
    value=BinaryType(),
    headers=ArrayType(_struct(key=StringType(), value=BinaryType())),
    num_late=IntegerType(),
    num_products=IntegerType(),
    num_joined=IntegerType(),
)

STATE: Final = _struct(tracker=BinaryType(), tail=BinaryType())

# The JSON value of a product record, and a row of the archive.
PRODUCT: Final = _struct(
    site=StringType(),
    time=TimestampType(),
    mixing_height_m=DoubleType(),
    uncertainty_m=DoubleType(),
    provisional=BooleanType(),
    quality=ArrayType(StringType()),
    candidates_m=ArrayType(DoubleType()),
    candidate_strength=ArrayType(DoubleType()),
    cloud_base_m=DoubleType(),
    num_profiles=IntegerType(),
    sent_ms=LongType(),
)
