"""Days of a ceilometer whose mixing height is known, written by genuine instruments.

    simulate_day(site, date, rng=...)        one UTC day in attenuated backscatter, with its truth
    simulate(site, times, rng=...)           any times: one file costs what one file holds

A day's plan (heights, clouds, rain, fog) is drawn first and is a value; the profiles follow from it and the sun.
"""

from ipdsf_spark.lidar.simulator.bank import FileBank, SimulatedFile
from ipdsf_spark.lidar.simulator.day import SimulatedDay, simulate, simulate_day
from ipdsf_spark.lidar.simulator.instruments import INSTRUMENTS, Instrument, instrument_named
from ipdsf_spark.lidar.simulator.plan import SCENARIOS, DayPlan, Spell, draw_plan, reference_plan

__all__ = [
    "INSTRUMENTS",
    "SCENARIOS",
    "DayPlan",
    "FileBank",
    "Instrument",
    "SimulatedDay",
    "SimulatedFile",
    "Spell",
    "draw_plan",
    "instrument_named",
    "reference_plan",
    "simulate",
    "simulate_day",
]
