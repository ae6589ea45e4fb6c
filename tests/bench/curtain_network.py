"""The package's LSTM with a convolutional LSTM beside it that sees the curtain (Shi et al. 2015, arXiv:1506.04214).

    i, f, o = σ(W_x * x + W_h * h + b),  g = tanh(...),  c ← f c + i g,  h ← o tanh(c);   * is a convolution over height

The LSTM and its head begin as they are in the package; what the curtain adds to the head begins as nothing. So what is
gained over the same LSTM, trained on with the same days and without the curtain, is the curtain's.

Shapes: T intervals, S sites, K cells of height, C channels, F features, L leads.
"""

from __future__ import annotations

from typing import Final

import torch
from retrieved_days import CELL_M, CHANNELS, NUM_HEIGHTS
from torch import Tensor, nn

from ipdsf_spark.forecast.memory import NAMES
from ipdsf_spark.forecast.model import NUM_OUTPUTS, ForecastModel
from ipdsf_spark.forecast.network import ForecastNetwork
from ipdsf_spark.forecast.series import LEADS_MIN

NUM_MARKS: Final = 5  # heights that are told as numbers, shown where they lie
SEEN, REMEMBERED, POINTERS, WIDTH = 8, 8, 6, 32
KERNEL: Final = 5
Hidden = tuple[Tensor, Tensor, Tensor, Tensor]


class CurtainNetwork(nn.Module):
    """Head outputs from features and curtain; without `has_curtain` the package's LSTM alone."""

    def __init__(self, start: ForecastModel, *, has_curtain: bool) -> None:
        super().__init__()
        self.has_curtain = has_curtain
        self.lstm = _in_torch(start)
        if not has_curtain:
            return
        self.see = nn.Sequential(nn.Conv1d(CHANNELS + NUM_MARKS, SEEN, KERNEL, padding=KERNEL // 2), nn.ReLU())
        self.from_seen = nn.Conv1d(SEEN, 4 * REMEMBERED, KERNEL, padding=KERNEL // 2)
        self.from_hidden = nn.Conv1d(REMEMBERED, 4 * REMEMBERED, KERNEL, padding=KERNEL // 2, bias=False)
        self.where = nn.Conv1d(REMEMBERED, POINTERS, 1)
        self.head = nn.Sequential(
            nn.Linear(2 * POINTERS + 2 * REMEMBERED + start.width, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, NUM_OUTPUTS * len(LEADS_MIN)),
        )
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(
        self, features: Tensor, last_m: Tensor, usual_m: Tensor, curtain: Tensor, hidden: Hidden
    ) -> tuple[Tensor, Hidden]:
        """(T, S, L, 5), from (T, S, F), (T, S), (T, S, L), (T, S, C, K) and the hidden state before."""
        found, (h, c) = self.lstm.lstm(features, hidden[:2])
        said = self.lstm.head(found)
        if not self.has_curtain:
            return said.unflatten(-1, (len(LEADS_MIN), NUM_OUTPUTS)), (h, c, *hidden[2:])
        num, sites = features.shape[:2]
        shown = torch.cat([curtain, _marks(features, last_m, usual_m)], dim=2).flatten(0, 1)
        gates_seen = self.from_seen(self.see(shown)).unflatten(0, (num, sites))
        hidden_map, cell_map = hidden[2:]
        maps = []
        for at in range(num):
            gates = gates_seen[at] + self.from_hidden(hidden_map)
            i, f, g, o = gates.chunk(4, dim=1)
            cell_map = torch.sigmoid(f) * cell_map + torch.sigmoid(i) * torch.tanh(g)
            hidden_map = torch.sigmoid(o) * torch.tanh(cell_map)
            maps.append(hidden_map)
        told = self._told(torch.stack(maps).flatten(0, 1)).unflatten(0, (num, sites))
        heights = told[..., :POINTERS]  # [km]; as numbers, and relative to the last height
        pooled = [heights, heights - last_m.unsqueeze(-1) / 1000.0, told[..., POINTERS:], found]
        said = said + self.head(torch.cat(pooled, dim=-1))
        return said.unflatten(-1, (len(LEADS_MIN), NUM_OUTPUTS)), (h, c, hidden_map, cell_map)

    def _told(self, maps: Tensor) -> Tensor:
        """(N, P + 2 R) heights that are pointed at [km], and means and maxima, of maps (N, R, K)."""
        height_km = (torch.arange(NUM_HEIGHTS, device=maps.device) + 0.5) * (CELL_M / 1000.0)
        pointed = (torch.softmax(4.0 * self.where(maps), dim=-1) * height_km).sum(-1)
        return torch.cat([pointed, maps.mean(-1), maps.amax(-1)], dim=-1)

    def start(self, num_sites: int) -> Hidden:
        """The hidden state before anything was seen."""
        zeros = torch.zeros(num_sites, REMEMBERED, NUM_HEIGHTS)
        return (*self.lstm.start(num_sites), zeros, zeros.clone())


def _in_torch(model: ForecastModel) -> ForecastNetwork:
    """The package's model in torch."""
    network = ForecastNetwork(model.width, model.num_layers)
    state: dict[str, Tensor] = {}
    for layer in range(model.num_layers):
        bias = torch.from_numpy(model.biases[layer].copy())
        state[f"lstm.weight_ih_l{layer}"] = torch.from_numpy(model.input_weights[layer].copy())
        state[f"lstm.weight_hh_l{layer}"] = torch.from_numpy(model.hidden_weights[layer].copy())
        state[f"lstm.bias_ih_l{layer}"], state[f"lstm.bias_hh_l{layer}"] = bias, torch.zeros_like(bias)
    state["head.weight"] = torch.from_numpy(model.head_weights.copy())
    state["head.bias"] = torch.from_numpy(model.head_bias.copy())
    network.load_state_dict(state)
    return network


def _marks(features: Tensor, last_m: Tensor, usual_m: Tensor) -> Tensor:
    """(T, S, 5, K) bells at the last height, the usual one, the bound and the cloud base, and the height itself."""
    height_m = (torch.arange(NUM_HEIGHTS, device=features.device) + 0.5) * CELL_M

    def bell(at_m: Tensor, is_there: Tensor) -> Tensor:
        return is_there.unsqueeze(-1) * torch.exp(-0.5 * ((height_m - at_m.unsqueeze(-1)) / CELL_M) ** 2)

    def told(name: str) -> Tensor:
        return features[..., NAMES.index(name)]

    ramp = (height_m / 2000.0).expand(*last_m.shape, NUM_HEIGHTS)
    marks = [
        bell(last_m, told("is_known")),
        bell(usual_m[..., 0], told("has_usual")),
        bell(1000.0 * told("below_km"), told("has_bound")),
        bell(3000.0 * told("cloud"), told("has_cloud")),
        ramp,
    ]
    return torch.stack(marks, dim=2)
