"""What Petastorm keeps of a data set in `cubes/_common_metadata`: the Unischema, and the row groups of every file.

As `petastorm.etl.dataset_metadata.materialize_dataset` writes it, but without a Spark job, from row groups that are
known already, and whole or not at all.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from typing import Final

import pyarrow.parquet as pq

from ipdsf_spark.packing.manifest import Study
from ipdsf_spark.packing.petastorm_on_arrow import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY, Unischema
from ipdsf_spark.packing.reading import filesystem_of, path_of
from ipdsf_spark.packing.schema import unischema
from ipdsf_spark.storage.location import Location

COMMON_METADATA: Final = "_common_metadata"


def common_metadata(cubes: Location, studies: Sequence[Study], size: int) -> bytes:
    """The content of the file.

    Args:
        cubes: folder of the Parquet files.
        studies: all that it describes.
        size: edge of the cubes.
    """
    first = cubes / studies[0].file
    with filesystem_of(first).open(path_of(first), "rb") as file:
        schema = pq.read_schema(file)
    noted = {
        **(schema.metadata or {}),
        UNISCHEMA_KEY: pickled(unischema(size)),
        ROW_GROUPS_PER_FILE_KEY: json.dumps({s.file: s.num_row_groups for s in studies}).encode(),
    }
    content = io.BytesIO()
    pq.write_metadata(schema.with_metadata(noted), content)
    return content.getvalue()


def pickled(schema: Unischema) -> bytes:
    """The schema for Petastorm, whichever numpy reads it: 2.0 calls its boolean `bool`, which 1 does not have."""
    # Protocol 2 writes names as text. Both know `bool_`.
    return pickle.dumps(schema, protocol=2).replace(b"cnumpy\nbool\n", b"cnumpy\nbool_\n")
