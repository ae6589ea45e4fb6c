"""What one row of a packed data set holds: the fields of its Unischema, with their units.

The manifest of a data set carries the same table, so that whoever finds the files knows what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pyspark.sql.types import BinaryType, BooleanType, DataType, IntegerType, StringType, StructField, StructType

from ipdsf_spark.packing.petastorm_on_arrow import NdarrayCodec, ScalarCodec, Unischema, UnischemaField

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Field:
    """A column: its numpy type, its type in Parquet, its unit (CF spelling) and what it means; cubes have a shape."""

    name: str
    dtype: type[Any]
    stored: DataType
    unit: str
    meaning: str
    is_cube: bool = False

    def shape(self, size: int) -> tuple[int, ...]:
        """Of one value, in a data set of cubes of an edge."""
        return (size, size, size) if self.is_cube else ()


FIELDS: Final = (
    Field("study", np.str_, StringType(), "", "name of the volume"),
    Field("z", np.int32, IntegerType(), "voxel", "first slice of the cube; negative where it begins in the padding"),
    Field("y", np.int32, IntegerType(), "voxel", "first row"),
    Field("x", np.int32, IntegerType(), "voxel", "first column"),
    Field("split", np.str_, StringType(), "", "train or test: of the patient"),
    Field("is_air", np.bool_, BooleanType(), "", "shows nothing but air; a sample of these is packed"),
    Field(
        "cube", np.int16, BinaryType(), "HU", "before clipping and enhancement, so that these can be chosen again", True
    ),
)
ROW_TYPE: Final = StructType([StructField(f.name, f.stored, nullable=False) for f in FIELDS])


def unischema(size: int) -> Unischema:
    """The schema of cubes of an edge."""
    return Unischema(
        f"CtCubes{size}",
        [
            UnischemaField(
                f.name, f.dtype, f.shape(size), NdarrayCodec() if f.is_cube else ScalarCodec(f.stored), False
            )
            for f in FIELDS
        ],
    )


def described(size: int) -> list[dict[str, Any]]:
    """The fields as plain values."""
    return [
        {"name": f.name, "dtype": f.dtype.__name__.rstrip("_"), "shape": list(f.shape(size)), "unit": f.unit}
        | {"meaning": f.meaning}
        for f in FIELDS
    ]
