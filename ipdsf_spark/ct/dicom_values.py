"""What the words of a DICOM slice say: values of BitsStored bits, their sign, and what stands in the other bits.

PS3.5 8.1.1: HighBit is one less than BitsStored. Before 2004 the bits above could hold overlays; scanners and
converters also leave there the sign of a padding that the header calls unsigned, or bits of values too large.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.dicom_header import SliceHeader
from ipdsf_spark.ct.volume import AIR_HU, ProblemKind

Values = NDArray[np.int64]
Noted = tuple[ProblemKind, str]  # what must be said about the values of a slice; equal texts of slices are joined

HIGHEST_HU: Final = 31_000  # of the extended scale, on which metal has up to 30,710 HU
LOWEST_PADDING: Final = 8192
MIN_PADDING_SHARE: Final = 0.01  # of a slice, where a stated padding is looked for in its wrapped form


def values_of_words(words: NDArray[np.integer[Any]], header: SliceHeader) -> tuple[Values, list[Noted]]:
    """Stored values of the words of one slice, and what must be said about them.

    * values that stand left in their words, as HighBit says, are moved to the right
    * negative padding in words that the header calls unsigned gets its sign back
    * bits above BitsStored that neither sign nor overlay explain are a serious remark
    """
    noted: list[Noted] = []
    wide = words.astype(np.int64) & ((1 << header.bits_allocated) - 1)
    wide = _right_aligned(wide, header, noted)
    overlays = sum(1 << bit for bit in header.overlay_bits if header.bits_stored <= bit < header.bits_allocated)
    values = wide & ((1 << header.bits_stored) - 1)
    above = (wide & ~overlays) >> header.bits_stored
    if header.is_signed:
        is_negative = (values >> (header.bits_stored - 1)).astype(bool)
        ones = (((1 << header.bits_allocated) - 1) & ~overlays) >> header.bits_stored
        is_odd = (above != 0) & ~(is_negative & (above == ones))
        values -= is_negative.astype(np.int64) << header.bits_stored
    else:
        is_odd = above != 0
        is_padding = _is_wrapped_padding(wide, values, is_odd, header)
        if is_padding.any():
            negative = wide[is_padding] - (1 << header.bits_allocated)
            stated = header.padding_stored if header.padding_stored is not None and header.padding_stored < 0 else None
            values[is_padding] = negative if stated is None else int(stated)
            is_odd = is_odd & ~is_padding
            noted.append(("wrapped_padding", "negative padding in pixels that PixelRepresentation calls unsigned"))
    if is_odd.any():
        text = f"bits above BitsStored ({header.bits_stored}) are set and no overlay explains them"
        noted.append(("bits_stored", text))
    return _one_padding(values, header), noted


def _right_aligned(wide: Values, header: SliceHeader, noted: list[Noted]) -> Values:
    shift = header.high_bit + 1 - header.bits_stored
    if shift == 0:
        return wide
    if shift > 0 and header.high_bit < header.bits_allocated and not (wide & ((1 << shift) - 1)).any():
        noted.append(("header_field", f"HighBit is {header.high_bit}: values stand {shift} bits higher in their words"))
        return wide >> shift
    text = f"HighBit is {header.high_bit} where BitsStored {header.bits_stored} asks for {header.bits_stored - 1}"
    noted.append(("bits_stored", text))
    return wide


def _is_wrapped_padding(
    wide: Values, values: Values, is_odd: NDArray[np.bool_], header: SliceHeader
) -> NDArray[np.bool_]:
    """Where unsigned words hold a negative padding: the stated one, or the only value far above any HU."""
    stated = header.padding_stored
    whole = 1 << header.bits_allocated
    to_hu = (header.slope if header.slope is not None else 1.0), header.intercept or 0.0

    def in_hu(value: float) -> float:
        return value * to_hu[0] + to_hu[1]

    if stated is not None and stated < 0:
        is_it: NDArray[np.bool_] = wide == int(stated) % whole
        if is_it.any():
            return is_it
        wrapped: NDArray[np.bool_] = values == int(stated) % (1 << header.bits_stored)
        return wrapped if wrapped.mean() >= MIN_PADDING_SHARE else np.zeros_like(wrapped)
    too_high = is_odd | (in_hu(1.0) - in_hu(0.0) > 0) & (wide * to_hu[0] + to_hu[1] > HIGHEST_HU)
    found = np.unique(wide[too_high]) if too_high.any() else np.empty(0, np.int64)
    is_one = len(found) == 1 and _is_negative(int(found[0]) - whole) and in_hu(float(found[0]) - whole) <= AIR_HU
    if not is_one and stated is not None and _is_negative(int(stated) - whole) and in_hu(stated - whole) <= AIR_HU:
        return np.asarray(wide == int(stated))
    return np.asarray(wide == found[0]) if is_one else np.zeros(wide.shape, dtype=bool)


def _is_negative(value: int) -> bool:
    """True for what reconstructions pad with."""
    return -LOWEST_PADDING <= value < 0 or value == -(1 << 15)


def _one_padding(values: Values, header: SliceHeader) -> Values:
    """Padding that the header states as a range of stored values, all of them below air, as one value."""
    if header.padding_stored is None or header.padding_limit is None:
        return values
    low, high = sorted((int(header.padding_stored), int(header.padding_limit)))
    slope, intercept = header.slope if header.slope is not None else 1.0, header.intercept or 0.0
    if high * slope + intercept < AIR_HU:
        values[(values >= low) & (values <= high)] = int(header.padding_stored)
    return values
