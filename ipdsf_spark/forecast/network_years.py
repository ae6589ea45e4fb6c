"""Series of a simulated network, split by site and by time: what a forecast is trained, validated and judged on.

Training sites live through half of the first year; with sites on both sides of the equator that half has every season.
Validation sites and judged sites are others, in a later year that begins `WARM_UP_DAYS` before it is judged, so that
their climatology is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from ipdsf_spark.forecast.observation import measured_tables, observe
from ipdsf_spark.forecast.series import Observed, Series
from ipdsf_spark.forecast.simulated import draw_site, site_years

FIRST_YEAR: Final = date(2023, 1, 1)
LATER_YEAR: Final = date(2025, 1, 1)
WARM_UP_DAYS: Final = 15


@dataclass(frozen=True)
class NetworkPlan:
    """How large a simulated network is.

    Attributes:
        train, validation, judged: number of sites.
        days: that a training site lives.
        later_days: that a validation or judged site lives, warm-up included.
        seed: decides everything.
    """

    train: int = 48
    validation: int = 6
    judged: int = 12
    days: int = 183
    later_days: int = 183
    seed: int = 0


def training_series(
    plan: NetworkPlan, on_site: Callable[[], None] = lambda: None, *, rank: int = 0, size: int = 1
) -> Series:
    """The training sites in the first year; every `size`-th of them, as many for every rank."""
    numbers = range(plan.train - plan.train % size)[rank::size]
    return simulated_series(plan.seed, numbers, FIRST_YEAR, plan.days, on_site)


def validation_series(
    plan: NetworkPlan, on_site: Callable[[], None] = lambda: None, *, rank: int = 0, size: int = 1
) -> Series:
    """Other sites, in the later year."""
    numbers = range(10_000, 10_000 + plan.validation)[rank::size]
    return simulated_series(plan.seed, numbers, LATER_YEAR - timedelta(WARM_UP_DAYS), plan.later_days, on_site)


def judged_series(
    plan: NetworkPlan, on_site: Callable[[], None] = lambda: None, *, rank: int = 0, size: int = 1
) -> Series:
    """Sites that no training and no choice of a model has seen, in the later year."""
    numbers = range(20_000, 20_000 + plan.judged)[rank::size]
    return simulated_series(plan.seed, numbers, LATER_YEAR - timedelta(WARM_UP_DAYS), plan.later_days, on_site)


def simulated_series(
    seed: int, numbers: range, start: date, num_days: int, on_site: Callable[[], None] = lambda: None
) -> Series:
    """Truth and observation of sites of these numbers; a site depends on seed and number alone."""
    tables = measured_tables()
    sites, seen, truths = [], [], []
    first = 0
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        site = draw_site(rng, number)
        years = site_years(site, start, num_days, rng)
        seen.append(observe(years, tables, rng))
        truths.append(years.height_m)
        sites.append(site)
        first = years.start
        on_site()
    observed = Observed(
        *(np.stack([getattr(each, name) for each in seen], axis=1) for name in Observed.__dataclass_fields__)
    )
    return Series(
        tuple(site.id for site in sites),
        np.array([site.latitude_deg for site in sites]),
        np.array([site.longitude_deg for site in sites]),
        first,
        observed,
        np.stack(truths, axis=1),
        has_target_in_gaps=True,
    )
