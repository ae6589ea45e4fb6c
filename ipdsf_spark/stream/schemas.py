"""Every column of the stream room, written once."""

from __future__ import annotations

from typing import Final

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from ipdsf_spark.spark.marks import AS_ROWS
from ipdsf_spark.stream.decode import COUNTED


def _struct(**fields: object) -> StructType:
    return StructType([StructField(name, kind) for name, kind in fields.items()])  # type: ignore[arg-type]


# What decoding a file gave, one row per file. `site` is the group, empty for records that belong to no site; `piece` is
# a stream.piece.Piece; the counts, of one row of many, are for the metrics and go no further.
DECODED: Final = _struct(
    site=StringType(),
    piece=BinaryType(),
    counts=_struct(**dict.fromkeys(COUNTED, LongType())),
)

HEADERS: Final = ArrayType(_struct(key=StringType(), value=BinaryType()))

# What goes to Kafka, and what it is.
OUTGOING: Final = StructType(
    [
        StructField("kind", StringType(), metadata={AS_ROWS: "1"}),
        StructField("num", IntegerType()),
        StructField("topic", StringType()),
        StructField("key", BinaryType()),
        StructField("value", BinaryType()),
        StructField("headers", HEADERS),
    ]
)

STATE: Final = _struct(site=BinaryType())  # stream.site_state bytes

# What the network makes of an average: cells, or the reason why there are none.
COLUMNS: Final = _struct(
    index=LongType(),
    site=StringType(),
    cells=BinaryType(),
    source=StringType(),
    published_us=LongType(),
    partition=IntegerType(),
    offset=LongType(),
    reason=StringType(),
    value=BinaryType(),
)

TO_KAFKA: Final = _struct(topic=StringType(), key=BinaryType(), value=BinaryType(), headers=HEADERS)
