"""The part file of a packing task in an object store: one upload, which is there when it is whole.

Spark's own writer would need Hadoop's connector, and would copy every part once more, for a store has no rename. A task
that runs twice puts the same content under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark.config.packing import PackingConfig
from ipdsf_spark.storage import object_store
from ipdsf_spark.storage.location import Location


def store_part(
    batches: Iterator[pa.RecordBatch], folder: Location, task: int, size: int, settings: PackingConfig
) -> None:
    """Write rows of `schema.ROW_TYPE` as `part-TASK-cubes.parquet`; nothing where there are none.

    Args:
        batches: of one task.
        folder: of the parts.
        task: number of the task, which is that of its volume.
        size: edge of the cubes, voxels.
        settings: compression, and bytes of a row group.
    """
    rows_per_group = max(1, settings.row_group_mb * 2**20 // (2 * size**3))
    first = next(batches, None)
    if first is None:
        return
    key = object_store.key_of(folder / f"part-{task:05d}-cubes.parquet")
    with (
        object_store.filesystem().open_output_stream(key, compression=None) as stream,
        pq.ParquetWriter(stream, first.schema, compression=settings.compression) as writer,
    ):
        held, num_held = [first], first.num_rows
        for batch in batches:
            held.append(batch)
            num_held += batch.num_rows
            if num_held >= rows_per_group:
                writer.write_table(pa.Table.from_batches(held), row_group_size=rows_per_group)
                held, num_held = [], 0
        if held:
            writer.write_table(pa.Table.from_batches(held), row_group_size=rows_per_group)
