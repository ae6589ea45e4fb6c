"""Words of a series' pixels, their units, slopes, bits, signs and padding: HU, or refused by the field's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import kinds, rewritten, said
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from synthetic_dicom import WriteSeries, save, slice_dataset

from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


# Headers


@pytest.mark.parametrize("unit", ["MGML", "Z_EFF", "ED", "PCT", "mg/cc HA"])
def test_values_in_another_unit_are_no_hu(chest: Chest, write_series: WriteSeries, unit: str) -> None:
    with pytest.raises(InputError, match=f"RescaleType is {unit.upper()}"):
        read_volume(write_series(chest, RescaleType=unit)[0].parent)


@pytest.mark.parametrize("unit", ["HU", "hu", "HU ", "US", "Hounsfield Units"])
def test_hu_under_any_spelling_are_hu(chest: Chest, write_series: WriteSeries, unit: str) -> None:
    np.testing.assert_array_equal(read_volume(write_series(chest, RescaleType=unit)[0].parent).hu, chest)


@pytest.mark.parametrize("slope", ["0", "-1", "0.0", "1e-9"])
def test_a_slope_that_is_none_is_refused(chest: Chest, write_series: WriteSeries, slope: str) -> None:
    with pytest.raises(InputError, match="RescaleSlope"):
        read_volume(write_series(chest, RescaleSlope=slope)[0].parent)


# Bits


def with_words(hu: NDArray[Any], words: NDArray[Any], **attributes: Any) -> Dataset:
    dataset = slice_dataset(hu, **attributes)
    dataset.PixelData = words.astype("<u2").tobytes()
    return dataset


def test_bits_above_bits_stored_are_refused_unless_an_overlay_explains_them(tmp_path: Path, chest: Chest) -> None:
    hu = chest[0]
    words = (hu.astype(int) + 1024) | 0x4000 * (hu > 200)
    plain = with_words(hu, words, BitsStored=12, HighBit=11)
    with pytest.raises(InputError, match=r"bits above BitsStored \(12\)"):
        read_volume(save(plain, tmp_path / "plain.dcm"))

    plain.add_new(0x60000102, "US", 14)
    volume = read_volume(save(plain, tmp_path / "overlay.dcm"))

    np.testing.assert_array_equal(volume.hu[0], hu)


def test_signs_extended_through_the_whole_word_are_no_stray_bits(tmp_path: Path, chest: Chest) -> None:
    dataset = slice_dataset(chest[0], intercept=0, is_signed=True, BitsStored=12, HighBit=11)

    volume = read_volume(save(dataset, tmp_path / "signed.dcm"))

    np.testing.assert_array_equal(volume.hu[0], chest[0])
    assert kinds(volume, serious=False) == {"single_slice"}


@pytest.mark.parametrize("bits_stored", [12, 16])
@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
@pytest.mark.parametrize("is_stated", [False, True])
def test_negative_padding_in_unsigned_words_gets_its_sign_back(
    tmp_path: Path, chest: Chest, padding: int, bits_stored: int, is_stated: bool
) -> None:
    hu = chest[0].copy()
    words = hu.astype(int) + 1024
    words[:4] = padding % 65536
    stated = {"PixelPaddingValue": padding % 65536} if is_stated else {}
    dataset = with_words(hu, words, BitsStored=bits_stored, HighBit=bits_stored - 1, **stated)

    volume = read_volume(save(dataset, tmp_path / "padded.dcm"))

    assert set(volume.hu[0, :4].ravel()) == {padding - 1024}
    np.testing.assert_array_equal(volume.hu[0, 4:], hu[4:])
    assert volume.padding_hu == padding - 1024
    assert "PixelRepresentation" in said(volume, "wrapped_padding")


def test_signed_values_that_the_header_calls_unsigned_are_refused(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest, intercept=0, is_signed=True)
    for path in files:
        rewritten(path, PixelRepresentation=0)

    with pytest.raises(InputError, match=r"beyond any scanner \(PixelRepresentation"):
        read_volume(files[0].parent)


def test_metal_on_the_extended_scale_is_no_padding(tmp_path: Path, chest: Chest) -> None:
    hu = chest[0].astype(np.int32)
    hu[5, 5:9] = 30_710
    volume = read_volume(save(slice_dataset(hu, intercept=-8192), tmp_path / "metal.dcm"))

    np.testing.assert_array_equal(volume.hu[0], hu)


def test_values_that_stand_left_in_their_words_are_moved(tmp_path: Path, chest: Chest) -> None:
    words = (chest[0].astype(int) + 1024) << 4
    volume = read_volume(save(with_words(chest[0], words, BitsStored=12, HighBit=15), tmp_path / "left.dcm"))

    np.testing.assert_array_equal(volume.hu[0], chest[0])
    assert "HighBit is 15" in said(volume, "header_field")


def test_a_high_bit_that_the_words_contradict_is_refused(tmp_path: Path, chest: Chest) -> None:
    path = save(slice_dataset(chest[0], BitsStored=12, HighBit=15), tmp_path / "high.dcm")

    with pytest.raises(InputError, match="HighBit is 15 where BitsStored 12 asks for 11"):
        read_volume(path)


def test_padding_stated_as_a_range_is_one_value(chest: Chest, write_series: WriteSeries) -> None:
    chest[:, 0, ::2], chest[:, 0, 1::2] = -2000, -1990
    files = write_series(chest, intercept=0, is_signed=True, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1980)

    volume = read_volume(files[0].parent)

    assert (volume.hu[:, 0] == -2000).all()
    assert volume.padding_hu == -2000


# Values


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda hu: (hu > 0).astype(np.uint8), "a mask"),
        (lambda hu: np.digitize(hu, [-500, -100, 100, 300]).astype(np.int16), "mask"),
        (lambda hu: np.clip((hu + 1000) / 1400, 0, 1).astype(np.float32), "scaled to 0 … 1"),
        (lambda hu: (2 * np.clip((hu + 1000) / 1400, 0, 1) - 1).astype(np.float32), "scaled to -1 … 1"),
        (lambda hu: ((hu - hu.mean()) / hu.std()).astype(np.float32), "scaled"),
        (lambda hu: (np.clip((hu + 1000) / 1400, 0, 1) * 255).astype(np.uint8), "grey levels"),
        (lambda hu: np.maximum(hu + 1024, 0).astype(np.uint16), r"HU \+ 1024"),
        (lambda hu: (hu + 1000).astype(np.float32), r"HU \+ 1024"),
        (lambda hu: (hu.astype(np.int32) + 32768).astype(np.uint16), "beyond any scanner"),
        (lambda hu: np.zeros(hu.shape, np.int16), "nothing was measured"),
    ],
)
def test_values_that_are_no_hu_are_known_by_their_histogram(tmp_path: Path, made: Any, words: str) -> None:
    import nibabel as nib

    from ipdsf_spark.ct.phantom import chest_phantom

    hu = chest_phantom((12, 32, 32), seed=3, spacing_mm=(20, 11, 11)).volume.hu
    path = tmp_path / "v.nii"
    nib.Nifti1Image(made(hu).T, np.diag([-0.7, -0.7, 2.5, 1])).to_filename(path)

    with pytest.raises(InputError, match=words):
        read_volume(path)
    assert read_volume(path, accept=["not_hu"]).hu.shape == hu.shape


@pytest.mark.parametrize("window", [(-1000, 400), (-160, 240), (-3024, 3071)])
def test_a_chest_in_hu_is_not_suspected(tmp_path: Path, window: tuple[int, int]) -> None:
    from ipdsf_spark.ct.phantom import chest_phantom
    from ipdsf_spark.ct.plausibility import value_problems

    hu = chest_phantom((12, 32, 32), seed=3, spacing_mm=(20, 11, 11), has_padding=True).volume.hu

    serious = [p for p in value_problems(np.clip(hu, *window)) if p.is_serious]
    assert not serious or window == (-160, 240)
