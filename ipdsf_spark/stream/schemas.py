"""Every column of the stream room, written once."""

from __future__ import annotations

from typing import Final

from pyspark.sql.types import (
    BinaryType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
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

# What decoding a file gave, one row per file. `piece` is a pickled stream.decode.Piece; the counts are for the
# metrics and go no further.
DECODED: Final = _struct(
    site=StringType(),
    piece=BinaryType(),
    num_files=IntegerType(),
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
    headers=StringType(),  # JSON object, or null
    num_late=IntegerType(),
    num_products=IntegerType(),
    num_joined=IntegerType(),
)

HEADERS_DDL: Final = "map<string, string>"
STATE: Final = _struct(tracker=BinaryType(), tail=BinaryType())
