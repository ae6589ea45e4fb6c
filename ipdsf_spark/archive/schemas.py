"""Columns of the archive."""

from __future__ import annotations

from typing import Final

from pyspark.sql.types import (
    ArrayType,
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


# The JSON value of a product record, and a row of the archive.
PRODUCT: Final = _struct(
    kind=StringType(),
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
