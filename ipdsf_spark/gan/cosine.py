"""Transform coding: blocks of a volume kept as the lowest frequencies of their discrete cosine transform.

Ahmed, Natarajan & Rao (1974), IEEE Trans. Comput. C-23, 90. An autoencoder begins as it and is judged beside it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d

from ipdsf_spark.errors import InputError


def lowest_frequencies(edge: int, number: int) -> Tensor:
    """(number, 1, edge, edge, edge): orthonormal functions of the cosine transform, by rising sum of frequencies.

    Raises:
        InputError: a block has fewer.
    """
    if number > edge**3:
        raise InputError(f"a code of {number} channels is more than the {edge**3} voxels of a block")
    places = (torch.arange(edge, dtype=torch.float64) + 0.5) * math.pi / edge
    waves = torch.cos(torch.outer(torch.arange(edge, dtype=torch.float64), places)) * math.sqrt(2 / edge)
    waves[0] /= math.sqrt(2)
    frequencies = sorted(itertools.product(range(edge), repeat=3), key=lambda f: (sum(f), f))[:number]
    return torch.stack([torch.einsum("i,j,k->ijk", *(waves[n] for n in f)) for f in frequencies])[:, None].float()


def transform_coded(share: NDArray[Any], edge: int, number: int) -> NDArray[np.float32]:
    """What `number` frequencies, in half precision, say of every block of edge³ voxels.

    Args:
        share: a volume (z, y, x) within 0 … 1; mirrored to whole blocks.
        edge: of a block, voxels.
        number: of frequencies that are kept; edge³ / number voxels become one number.

    Raises:
        InputError: a block has fewer.
    """
    basis = lowest_frequencies(edge, number)
    padded = np.pad(np.asarray(share, np.float32), [(0, -n % edge) for n in share.shape], mode="symmetric")
    with torch.inference_mode():
        for first in range(0, len(padded), edge):  # a layer of blocks at a time: the code of all would be held else
            code = conv3d(torch.from_numpy(padded[first : first + edge])[None, None], basis, stride=edge).half()
            padded[first : first + edge] = conv_transpose3d(code.float(), basis, stride=edge)[0, 0].numpy()
    depth, rows, columns = share.shape
    return np.clip(padded[:depth, :rows, :columns], 0.0, 1.0)
