"""From what is known of the mixing layer's top to what is published: a height, an upper bound, or a reason for neither.

The uncertainty is that of the mixture: the localisation of the edge that was chosen, the chance that another one is the
right one times its distance, and how well an edge tells the height of the mixing: a stable layer that has just begun is
filled from the ground, slowly, so that what it holds falls off well below its top; hours later it is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.chain import STABLE, Float
from ipdsf_spark.lidar.layers.cloud import SIGMA_M as CLOUD_SIGMA_M
from ipdsf_spark.lidar.layers.evidence import NO_HEIGHT, QUARTERS, SCREENED, Rows, in_metres
from ipdsf_spark.lidar.layers.neighbours import Neighbours, fitted_m
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64

NEAR_M, NEAR_SHARE = 60.0, 0.06  # of the height: the same edge
LIKELY: Final = 0.8  # that the top lies there, for a height to be given
SPREAD_M, SPREAD_SHARE = 90.0, 0.11  # more spread than this, and no height is given
SUPPORT_M, SUPPORT_SHARE = 90.0, 0.04  # a height needs a candidate this close
LEAST_EVIDENCE: Final = 0.3  # of a candidate beside the profile's best
BOUND: Final = 0.95  # probability of an upper bound by the chain; it is too sure, as intervals depend on each other
HIGHEST_BOUND_M: Final = 450.0  # a higher one says nothing
AMBIGUOUS_M: Final = 150.0  # a spread that is worth a bit
DECK: Final = 0.5  # evidence of a cloud's base as the top, from which on no bound below it is given
CAPPED_M: Final = 300.0  # a cloud base this close to the height is the layer's
BEYOND_SEEN: Final = 1  # nodes above those that show an edge if there is one; farther up noise makes edges of its own
REMEMBERED: Final = 0.4  # of a residual layer's edge, for its height to be given
CONTINUES: Final = 0.8  # of the best remembered edge: one that is known less well is another one, not it moved
CLEAR_M: Final = 30.0  # localisation of an edge without noise: it is where it is seen
LEAST_M: Final = 15.0  # no retrieval is better than its grid
MODEL_SHARE: Final = 0.03  # of the height, and ...
MODEL_M: Final = 20.0  # ... this: an edge of the tracer is not quite the height of the mixing
STABLE_MODEL_M: Final = 40.0  # of a stable layer, which fades upward rather than ends, and ...
YOUNG_SHARE: Final = 0.25  # of the height, of a stable layer that is still being filled from the ground
LOW_M: Final = 150.0  # ... of one so little above the lowest gate that is seen


@dataclass(frozen=True, eq=False)
class Decision:
    """Of N intervals; NaN where there is none.

    Attributes:
        height_m, sigma_m: mixing height and one standard deviation.
        below_m: the mixing height is below this, with `BOUND` probability; where no height can be given.
        residual_m: top of the residual layer above the mixing layer.
        nocturnal_m: the mixing height where the layer is a stable one.
        thickness_m: of the entrainment zone.
        quality: bits, those of the rows included.
    """

    height_m: Float64
    sigma_m: Float64
    below_m: Float64
    residual_m: Float64
    nocturnal_m: Float64
    thickness_m: Float64
    quality: NDArray[np.uint16]


def decide(
    rows: Rows,
    state: Float,
    nodes_m: Float64,
    young: Float64,
    final: NDArray[np.int64],
    neighbours: Neighbours,
) -> Decision:
    """Decide on every interval.

    Args:
        rows: (N,) records.
        state: (N, 2, K) probability of the top's node and kind.
        nodes_m: (K,) heights.
        young: (N,) how likely a stable layer has only begun to be filled.
        final: (F,) which intervals are seen from both sides.
        neighbours: of these, F.
    """
    num = len(rows)
    line = np.arange(num)
    mass = state[:, 0] + state[:, 1]
    together = mass.copy()
    together[:, 1:] += mass[:, :-1]
    together[:, :-1] += mass[:, 1:]
    at_m = nodes_m[together.argmax(axis=1)][:, None]
    around = mass * (np.abs(nodes_m - at_m) <= NEAR_M + NEAR_SHARE * at_m)
    share = np.maximum(around.sum(axis=1), 1e-9)
    # row by row: a product of matrices adds in an order that depends on how many intervals are taken at once
    mean_m = (around * nodes_m).sum(axis=1) / share
    variance = np.maximum((around * (nodes_m * nodes_m)).sum(axis=1) / share - mean_m * mean_m, 0.0)

    tops = in_metres(rows["height"])
    has_top = np.isfinite(tops)
    strength = rows["evidence"].astype(np.float32)
    cloud_m = in_metres(rows["cloud"])
    best = np.maximum(strength.max(axis=1), 1.0)[:, None]
    distance = np.where(has_top & (strength > LEAST_EVIDENCE * best), np.abs(tops - mean_m[:, None]), np.inf)
    chosen = distance.argmin(axis=1)
    height = tops[line, chosen]
    localisation = rows["sigma"][line, chosen].astype(np.float64)
    thickness = rows["thickness"][line, chosen] * 10.0
    reach_m = SUPPORT_M + SUPPORT_SHARE * mean_m
    is_supported = distance[line, chosen] <= reach_m
    # the edge of one interval is moved by noise, the path's mean less so: weighted by their variances
    noise = np.maximum(localisation - CLEAR_M, 0.0) ** 2
    weight = noise / (noise + variance + 1.0)
    height = np.where(is_supported, height + weight * (mean_m - height), height)
    # a cloud's base instead of an edge
    by_cloud = (rows["cloud_top"] > 0) & (np.abs(cloud_m - mean_m) <= reach_m)
    by_cloud &= ~is_supported | (rows["cloud_top"] >= strength[line, chosen])
    height = np.where(by_cloud, cloud_m, height)
    localisation = np.where(by_cloud, CLOUD_SIGMA_M, localisation)
    is_supported |= by_cloud

    off = nodes_m - np.nan_to_num(height)[:, None]
    far = mass * (np.abs(off) > (NEAR_M + NEAR_SHARE * np.nan_to_num(height))[:, None])
    spread = np.sqrt((far * off * off).sum(axis=1))
    has_stable = state[:, STABLE].sum(axis=1) > 0.5
    is_low = height < rows["floor"] / QUARTERS + LOW_M
    share_of_model = np.where(has_stable, np.maximum(YOUNG_SHARE * young, MODEL_SHARE), MODEL_SHARE)
    model = np.hypot(np.where(has_stable | is_low, STABLE_MODEL_M, MODEL_M), share_of_model * height)
    sigma = np.maximum(np.sqrt(localisation**2 + spread**2 + model**2), LEAST_M)

    quality = rows["quality"].copy()
    is_screened = (quality & SCREENED) > 0
    is_likely = (far.sum(axis=1) <= 1.0 - LIKELY) & (spread <= SPREAD_M + SPREAD_SHARE * height)
    is_given = is_supported & is_likely & ~is_screened
    floor_m = rows["floor"] / QUARTERS
    cumulative = np.cumsum(mass, axis=1)
    hidden = np.where(rows["hidden"] > 0, cumulative[line, np.maximum(rows["hidden"], 1) - 1], 0.0)
    is_given &= hidden < 0.5
    highest_m = np.append(nodes_m, np.inf)[np.minimum(rows["seen_to"] + BEYOND_SEEN, nodes_m.size)]
    is_given &= by_cloud | (mean_m <= highest_m)
    middle_m = np.append((nodes_m[1:] + nodes_m[:-1]) / 2, nodes_m[-1])
    bound_m = np.maximum(middle_m[(cumulative < BOUND).sum(axis=1).clip(max=nodes_m.size - 1)], floor_m)
    is_below = ~is_given & ~is_screened & (bound_m <= np.maximum(HIGHEST_BOUND_M, floor_m))
    # a deck's own cooling mixes the air below it, be it night; no edge shows where that ends
    is_under_deck = is_below & (rows["cloud_top"] >= 255 * DECK) & (cloud_m > bound_m)
    is_below &= ~is_under_deck

    residual_m = in_metres(rows["residual"])
    why = _reasons(rows, mass, hidden, is_supported, residual_m, nodes_m)
    why = np.where(is_below, np.uint16(Quality.NEAR_RANGE_EDGE), why)
    why = np.where(is_under_deck, np.uint16(Quality.AMBIGUOUS), why)
    quality |= np.where(is_given, 0, np.where(is_screened, 0, why)).astype(np.uint16)
    quality |= np.where(is_given & (spread > AMBIGUOUS_M), np.uint16(Quality.AMBIGUOUS), np.uint16(0))
    leans = (is_given & ~by_cloud)[final]
    if leans.any():
        height[final[leans]] = fitted_m(height[final[leans]], neighbours.rows(leans))
    is_capped = is_given & (np.abs(cloud_m - height) <= CAPPED_M)
    quality |= is_capped * np.uint16(Quality.CLOUD_CAPPED)
    height = np.where(is_given, height, np.nan)
    is_stable = is_given & has_stable
    top_m = np.where(is_given, height, np.where(is_below, bound_m, np.inf))
    return Decision(
        height_m=height,
        sigma_m=np.where(is_given, sigma, np.nan),
        below_m=np.where(is_below, bound_m, np.nan),
        residual_m=np.where((residual_m > top_m + 100.0) & ~is_screened, residual_m, np.nan),
        nocturnal_m=np.where(is_stable, height, np.nan),
        thickness_m=np.where(is_given & ~by_cloud & (thickness > 0), thickness, np.nan),
        quality=quality,
    )


def residual_top(rows: Rows, residual: Float, nodes_m: Float64) -> NDArray[np.uint16]:
    """(N,) the candidate at the best remembered edge, in quarters of a metre, `NO_HEIGHT` where none is remembered.

    A residual layer is what the day has left and goes on: in an interval that does not show its edge, an edge of some
    other layer, such as aerosol far aloft that is there for a while too, does not take its place.

    Args:
        rows: (N,) records.
        residual: (N, K) memory of the residual layer's edge.
        nodes_m: (K,) heights.
    """
    tops = rows["height"]
    middle_m = (nodes_m[1:] + nodes_m[:-1]) / 2
    node = np.searchsorted(middle_m * QUARTERS, tops)
    known = np.take_along_axis(residual, node, axis=1)
    known = np.where((tops != NO_HEIGHT) & (rows["evidence"] > 0), known, 0.0)
    best = known.argmax(axis=1)
    line = np.arange(len(tops))
    least = np.maximum(REMEMBERED, CONTINUES * residual.max(axis=1))
    return np.where(known[line, best] >= least, tops[line, best], np.uint16(NO_HEIGHT))


def _reasons(
    rows: Rows, mass: Float, hidden: Float, is_supported: NDArray[np.bool_], residual_m: Float64, nodes_m: Float64
) -> NDArray[np.uint16]:
    """(N,) why there is no height: what was observed where the top should be."""
    unseen = mass * (np.arange(nodes_m.size) >= rows["seen_to"][:, None])
    is_noise = unseen.sum(axis=1) > 0.5
    has_residual = np.isfinite(residual_m)
    return np.asarray(
        np.select(
            [is_noise, hidden > 0.5, is_supported, has_residual],
            [
                np.uint16(Quality.LOW_SNR),
                np.uint16(Quality.NEAR_RANGE_EDGE),
                np.uint16(Quality.AMBIGUOUS),
                np.uint16(Quality.RESIDUAL_LAYER),
            ],
            np.uint16(Quality.NO_EDGE),
        ),
        np.uint16,
    )
