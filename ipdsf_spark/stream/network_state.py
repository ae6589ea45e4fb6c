"""State of the query on the network, as files named after the micro-batch that they are the outcome of.

    batch-000000000017.state    open slices, alarms, and the name of the model's file
    model-000000000015.state    the decomposition as batch 15 left it; batches 16 and 17 gave no slice

Spark repeats a batch that it has not noted as done, under its number and with the same records. The batch's number is
the transaction: it begins with the state of the one before, and where its own state is there already it was done.
"""

from __future__ import annotations

import logging
import os
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

KEPT: Final = 3  # batches; Spark repeats the newest only
_HEAD: Final = struct.Struct("<4sQ")  # magic, the batch that wrote the model
MAGIC: Final = b"IPNS"


@dataclass(frozen=True)
class Held:
    """State as one batch left it: that of the stage, that of the model, and which batch wrote the latter."""

    small: bytes
    model: bytes
    model_batch: int


class StateFiles:
    """The files of one query.

    Args:
        directory: theirs alone; made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def has(self, batch: int) -> bool:
        """Whether that batch was done."""
        return self._path("batch", batch).exists()

    def newest(self) -> int:
        """The last batch that was done, -1 if none was."""
        numbers = [path.stem.partition("-")[2] for path in self.directory.glob("batch-*.state")]
        return max((int(number) for number in numbers if number.isdigit()), default=-1)

    def read(self, batch: int) -> Held | None:
        """The state as that batch left it; None if it left none that can be read."""
        try:
            raw = self._path("batch", batch).read_bytes()
            magic, model_batch = _HEAD.unpack_from(raw)
            if magic != MAGIC:
                raise ValueError("no state of this query")
            return Held(raw[_HEAD.size :], self._path("model", model_batch).read_bytes(), model_batch)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, struct.error) as error:
            logger.warning("state of batch %d in %s cannot be read: %s", batch, self.directory, error)
            return None

    def write(self, batch: int, small: bytes, model: bytes | None, model_batch: int) -> int:
        """Keep the outcome of a batch; returns the batch whose file holds its model.

        Args:
            batch: its number.
            small: state of the stage.
            model: the decomposition, None if it has not changed.
            model_batch: the batch that wrote it last.

        Raises:
            OSError: the disk is full or broken; the batch was not done.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if model is not None:
            self._put(self._path("model", batch), model)
            model_batch = batch
        self._put(self._path("batch", batch), _HEAD.pack(MAGIC, model_batch) + small)
        self._forget(batch, model_batch)
        return model_batch

    def _path(self, kind: str, batch: int) -> Path:
        return self.directory / f"{kind}-{batch:012d}.state"

    def _put(self, path: Path, raw: bytes) -> None:
        """The whole file or none of it, and on the disk when this returns."""
        part = path.with_name(f".{path.name}.{uuid.uuid4()}.part")
        try:
            with part.open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _forget(self, batch: int, model_batch: int) -> None:
        """Remove what no batch that could be repeated begins with."""
        needed = {model_batch}
        for number in range(max(0, batch - KEPT), batch):
            try:
                needed.add(_HEAD.unpack_from(self._path("batch", number).read_bytes()[: _HEAD.size])[1])
            except (OSError, struct.error):
                continue
        for path in self.directory.glob("*-*.state"):
            kind, _, text = path.stem.partition("-")
            number = int(text) if text.isdigit() else batch
            is_old = number < batch - KEPT if kind == "batch" else number < batch and number not in needed
            if is_old:
                path.unlink(missing_ok=True)
