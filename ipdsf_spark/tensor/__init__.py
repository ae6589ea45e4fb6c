"""The network as a tensor: sites x range x time in a few components, kept up to date slice by slice.

    model = NetworkTensor(TensorSettings(rank=6))
    seen = model.update(index, site_ids, slice)      one 5-minute slice, NaN where a cell is missing
    raw = model.to_bytes(); NetworkTensor.from_bytes(raw)

Numbers only: knows no lidar, no engine. Memory and time of a slice do not grow with the number of slices.
"""

from ipdsf_spark.tensor.network import NetworkTensor, SliceSeen
from ipdsf_spark.tensor.settings import TensorSettings

__all__ = ["NetworkTensor", "SliceSeen", "TensorSettings"]
