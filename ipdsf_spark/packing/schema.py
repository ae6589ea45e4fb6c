"""What one row of a packed data set holds.

field   type               unit    meaning
study   string             -       name of the volume
z y x   int32              voxel   first voxel of the cube; negative where it begins in the padding
split   string             -       "train" or "test": of the patient
is_air  bool               -       shows nothing but air; a sample of these is packed
cube    int16 (S, S, S)    HU      before clipping and enhancement, so that these can be chosen again
"""

from __future__ import annotations

import numpy as np
from petastorm.codecs import NdarrayCodec, ScalarCodec
from petastorm.unischema import Unischema, UnischemaField
from pyspark.sql.types import BinaryType, BooleanType, IntegerType, StringType, StructField, StructType

SPLITS = ("train", "test")

ROW_TYPE = StructType(
    [
        StructField("study", StringType(), nullable=False),
        StructField("z", IntegerType(), nullable=False),
        StructField("y", IntegerType(), nullable=False),
        StructField("x", IntegerType(), nullable=False),
        StructField("split", StringType(), nullable=False),
        StructField("is_air", BooleanType(), nullable=False),
        StructField("cube", BinaryType(), nullable=False),
    ]
)


def unischema(size: int) -> Unischema:
    """The schema of cubes of an edge."""
    text, number, flag = ScalarCodec(StringType()), ScalarCodec(IntegerType()), ScalarCodec(BooleanType())
    return Unischema(
        f"CtCubes{size}",
        [
            UnischemaField("study", np.str_, (), text, False),
            UnischemaField("z", np.int32, (), number, False),
            UnischemaField("y", np.int32, (), number, False),
            UnischemaField("x", np.int32, (), number, False),
            UnischemaField("split", np.str_, (), text, False),
            UnischemaField("is_air", np.bool_, (), flag, False),
            UnischemaField("cube", np.int16, (size, size, size), NdarrayCodec(), False),
        ],
    )
