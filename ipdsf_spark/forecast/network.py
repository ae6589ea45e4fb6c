"""The same network in torch, for training: layers of LSTM, a head per lead, and the pinball loss of its quantiles.

Shapes: T intervals, S sites, F features, L leads.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ipdsf_spark.forecast.memory import NUM_FEATURES
from ipdsf_spark.forecast.model import DEPARTURE_M, NUM_OUTPUTS, Array, arrays_of
from ipdsf_spark.forecast.series import LEADS_MIN, QUANTILES

# A usual error of the leads [m]: every lead counts about alike in the loss.
SCALES_M: Final = (60.0, 65.0, 80.0, 105.0, 180.0)


class ForecastNetwork(nn.Module):
    """The network.

    Args:
        width: numbers that a layer remembers.
        num_layers: one upon the other.
        dropout: between the layers, in training.
    """

    def __init__(self, width: int = 32, num_layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(NUM_FEATURES, width, num_layers, dropout=dropout if num_layers > 1 else 0.0)
        self.head = nn.Linear(width, NUM_OUTPUTS * len(LEADS_MIN))
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(torch.tensor([-2.0, 1.0, 0.0, -1.5, -1.5]).repeat(len(LEADS_MIN)))

    def forward(self, features: Tensor, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(T, S, L, 5) what the head says after every interval, and the hidden state after the last."""
        found, hidden = self.lstm(features, hidden)
        said = self.head(found)
        return said.unflatten(-1, (len(LEADS_MIN), NUM_OUTPUTS)), hidden

    def start(self, num_sites: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """The hidden state before anything was seen."""
        zeros = torch.zeros(self.lstm.num_layers, num_sites, self.lstm.hidden_size, device=device)
        return zeros, zeros.clone()

    def arrays(self) -> dict[str, Array]:
        """The weights as `model.model_of` takes them."""
        state = {name: value.detach().cpu().numpy().astype(np.float32) for name, value in self.state_dict().items()}
        parts = [
            (
                state[f"lstm.weight_ih_l{layer}"],
                state[f"lstm.weight_hh_l{layer}"],
                state[f"lstm.bias_ih_l{layer}"] + state[f"lstm.bias_hh_l{layer}"],
            )
            for layer in range(self.lstm.num_layers)
        ]
        return arrays_of(parts, (state["head.weight"], state["head.bias"]))


def quantiles_of(said: Tensor, last_m: Tensor, usual_m: Tensor) -> Tensor:
    """(…, L, 3) quantiles [m], as `model.quantiles_m` but for its lowest height.

    Args:
        said: (…, L, 5).
        last_m: (…) persistence.
        usual_m: (…, L) climatology.
    """
    last_m = last_m.unsqueeze(-1)
    shares = torch.sigmoid(said[..., :2])
    median_m = last_m + shares[..., 0] * (usual_m - last_m) + shares[..., 1] * (usual_m - usual_m[..., :1])
    median_m = median_m + DEPARTURE_M * said[..., 2]
    low_m = median_m - DEPARTURE_M * softplus(said[..., 3])
    high_m = median_m + DEPARTURE_M * softplus(said[..., 4])
    return torch.stack([low_m, median_m, high_m], dim=-1)


def pinball_loss(quantiles_m: Tensor, target_m: Tensor) -> Tensor:
    """Mean pinball loss (Koenker & Bassett 1978) over what is known, every lead relative to its usual error.

    Args:
        quantiles_m: (…, L, 3).
        target_m: (…, L), NaN where not known.
    """
    is_known = torch.isfinite(target_m)
    scale = torch.tensor(SCALES_M, device=target_m.device)
    error = (torch.nan_to_num(target_m).unsqueeze(-1) - quantiles_m) / scale.unsqueeze(-1)
    level = torch.tensor(QUANTILES, device=target_m.device)
    loss = torch.maximum(level * error, (level - 1.0) * error).sum(-1)
    return (loss * is_known).sum() / is_known.sum().clamp(min=1)
