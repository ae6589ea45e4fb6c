"""The instruments that the simulator can be: their gates, their laser, their noise and what they report.

Noise levels are those of the real files of each model: the standard deviation of one 15-s profile at 1500 m on a dark
night, from the differences of neighbouring far gates. The detector's noise is constant along the beam, so after range
correction it grows as range²; daylight adds to it (twice the night's noise at noon, as CL61 files show).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.instruments import lufft_chm, vaisala_cl, vaisala_cl61
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles

NOISE_HEIGHT_M: Final = 1500.0
NOISE_CADENCE_S: Final = 15.0
AVERAGING_S: Final = 300.0  # relative noise levels are those of a mean over five minutes
DAYLIGHT_NOISE: Final = 1.2  # added at noon, relative to the night's


@dataclass(frozen=True)
class Instrument:
    """One model.

    Attributes:
        name: maker and model as the readers call it.
        message_type: layout of its files.
        num_gates, resolution_m: equal gates from the instrument upward.
        wavelength_nm: of the laser.
        night_noise: standard deviation at 1500 m of a 15-s profile at night [m-1 sr-1].
        ripple, ripple_scale_m, ripple_period_m: what remains of an imperfect overlap correction: relative amplitude at
            the ground, height over which it fades, wavelength.
        reports_rain: whether the instrument tells rain.
        num_layers: cloud bases per profile.
        extension: of its files.
        encode: its file writer.
        calibration: factor from the numbers of its files to m-1 sr-1; None where they are in m-1 sr-1.
    """

    name: str
    message_type: str
    num_gates: int
    resolution_m: float
    wavelength_nm: float
    night_noise: float
    ripple: float
    ripple_scale_m: float
    ripple_period_m: float
    reports_rain: bool
    num_layers: int
    extension: str
    encode: Callable[[Profiles], bytes]
    calibration: float | None = None

    @property
    def edge_m(self) -> Float64:
        """(G + 1,) edges of the gates."""
        return np.arange(self.num_gates + 1, dtype=np.float64) * self.resolution_m

    @property
    def range_m(self) -> Float64:
        """(G,) centres of the gates."""
        return (np.arange(self.num_gates, dtype=np.float64) + 0.5) * self.resolution_m

    def overlap_error(self) -> Float32:
        """(G,) factor that an imperfect overlap correction leaves on the signal; 1 far away."""
        fading = self.ripple * np.exp(-self.range_m / self.ripple_scale_m)
        factor: Float32 = (1.0 + fading * np.sin(2 * np.pi * self.range_m / self.ripple_period_m)).astype(np.float32)
        return factor

    def noise_at_unit_range(
        self, cadence_s: float, sun: Float64, relative: float | None, backscatter: Float64
    ) -> Float64:
        """(T,) standard deviation of beta / range² [m-3 sr-1].

        Args:
            cadence_s: time over which the instrument averages one profile.
            sun: (T,) 0 at night, 1 at noon.
            relative: level of the science notes §1.8: standard deviation of a five-minute mean at 1500 m, relative to
                `backscatter`, at all hours; None = the genuine noise of the model.
            backscatter: (T,) of the mixing layer [m-1 sr-1].
        """
        if relative is None:
            sigma = self.night_noise * np.sqrt(NOISE_CADENCE_S / cadence_s) * (1.0 + DAYLIGHT_NOISE * sun)
        else:
            sigma = relative * backscatter * np.sqrt(AVERAGING_S / cadence_s)
        return np.asarray(sigma / NOISE_HEIGHT_M**2)


INSTRUMENTS: Final[dict[str, Instrument]] = {
    "cl31": Instrument(
        name="Vaisala CL31",
        message_type="2",
        num_gates=770,
        resolution_m=10.0,
        wavelength_nm=910.0,
        night_noise=3.0e-7,
        ripple=0.25,
        ripple_scale_m=120.0,
        ripple_period_m=220.0,
        reports_rain=False,
        num_layers=3,
        extension="dat",
        encode=vaisala_cl.encode_file,
    ),
    "cl51": Instrument(
        name="Vaisala CL51",
        message_type="2",
        num_gates=1540,
        resolution_m=10.0,
        wavelength_nm=910.0,
        night_noise=8.0e-8,
        ripple=0.2,
        ripple_scale_m=120.0,
        ripple_period_m=260.0,
        reports_rain=False,
        num_layers=3,
        extension="dat",
        encode=vaisala_cl.encode_file,
    ),
    "chm15k": Instrument(
        name="Lufft CHM15k",
        message_type="netcdf mode 0",
        num_gates=1024,
        resolution_m=14.985,
        wavelength_nm=1064.0,
        night_noise=2.2e-8,
        ripple=0.4,
        ripple_scale_m=110.0,
        ripple_period_m=380.0,
        reports_rain=True,
        num_layers=3,
        extension="nc",
        encode=lufft_chm.encode_file,
        calibration=lufft_chm.DEFAULT_CALIBRATION,
    ),
    "cl61": Instrument(
        name="Vaisala CL61",
        message_type="netcdf schema 1.3",
        num_gates=3276,
        resolution_m=4.8,
        wavelength_nm=vaisala_cl61.WAVELENGTH_NM,
        night_noise=1.7e-8,
        ripple=0.15,
        ripple_scale_m=100.0,
        ripple_period_m=240.0,
        reports_rain=True,
        num_layers=5,
        extension="nc",
        encode=vaisala_cl61.encode_file,
    ),
}


def instrument_named(name: str) -> Instrument:
    """The instrument called `name`: ``"cl51"``, or the readers' ``"Vaisala CL51"``.

    Raises:
        ValueError: the simulator does not know it.
    """
    short = name.strip().lower().split()[-1] if name.strip() else ""
    if short in INSTRUMENTS:
        return INSTRUMENTS[short]
    close = difflib.get_close_matches(short, INSTRUMENTS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(INSTRUMENTS)}"
    raise ValueError(f"unknown instrument {name!r}; {hint}")
