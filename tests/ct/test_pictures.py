from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from ipdsf_spark.ct.pictures import PictureScale, natural_key
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import InputError

SCALE = PictureScale((2.5, 0.7, 0.8), black_hu=-1000, white_hu=400)


def save_stack(folder: Path, grey: NDArray[np.generic], ending: str = "png") -> Path:
    for k, picture in enumerate(grey):
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(folder / f"slice{k + 1}.{ending}"))
    return folder


@pytest.mark.parametrize(
    ("dtype", "ending"),
    [(np.uint8, "png"), (np.uint16, "png"), (np.uint8, "tif"), (np.int16, "tif"), (np.uint8, "bmp")],
)
def test_grey_levels_become_the_stated_hu(tmp_path: Path, dtype: type[np.integer], ending: str) -> None:
    black, white = np.iinfo(dtype).min, np.iinfo(dtype).max
    grey = np.linspace(black, white, 12 * 8 * 9).astype(dtype).reshape(12, 8, 9)

    volume = read_volume(save_stack(tmp_path, grey, ending), pictures=SCALE)

    np.testing.assert_allclose(volume.hu, -1000 + 1400 * ((grey - float(black)) / (float(white) - black)), atol=0.5)
    assert (volume.hu.min(), volume.hu.max()) == (-1000, 400)
    assert volume.grid.spacing_mm == (2.5, 0.7, 0.8)


def test_pictures_without_what_they_cannot_say_are_refused_with_the_flags_to_give(tmp_path: Path) -> None:
    save_stack(tmp_path, np.zeros((2, 8, 9), np.uint8))

    with pytest.raises(InputError, match=r"slice1.png …\) hold no HU and no spacing.*--spacing.*--grey"):
        read_volume(tmp_path)


def test_slice_ten_comes_after_slice_two() -> None:
    assert sorted(["s10.png", "s2.png", "s1.png"], key=natural_key) == ["s1.png", "s2.png", "s10.png"]


def test_pictures_of_two_sizes_are_no_stack(tmp_path: Path) -> None:
    save_stack(tmp_path, np.zeros((2, 8, 9), np.uint8))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((63, 40), np.uint8)), str(tmp_path / "slice3.png"))

    with pytest.raises(InputError, match=r"slice3.png is 40 × 63, slice1.png 9 × 8: a stack has one size"):
        read_volume(tmp_path, pictures=SCALE)


def test_colour_is_no_hu_but_grey_stored_in_colour_is_grey(tmp_path: Path) -> None:
    grey = np.arange(72, dtype=np.uint8).reshape(8, 9)
    path = tmp_path / "slice1.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([grey] * 3, axis=-1), isVector=True), str(path))
    assert read_volume(tmp_path, pictures=SCALE).hu[0, 7, 8] == round(-1000 + 1400 * 71 / 255)

    sitk.WriteImage(sitk.GetImageFromArray(np.stack([grey, grey, grey + 1], axis=-1), isVector=True), str(path))
    with pytest.raises(InputError, match=r"slice1.png is in colour"):
        read_volume(tmp_path, pictures=SCALE)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    save_stack(tmp_path, np.zeros((1, 80, 90), np.uint8))
    whole = (tmp_path / "slice1.png").read_bytes()
    (tmp_path / "slice2.png").write_bytes(whole[:60])
    (tmp_path / "slice3.png").write_text("not a picture")

    with pytest.raises(InputError, match=r"slice2.png is not a readable picture"):
        read_volume(tmp_path, pictures=SCALE)


def test_a_picture_that_promises_more_than_it_holds_asks_for_no_memory(tmp_path: Path) -> None:
    path = save_stack(tmp_path, np.zeros((1, 8, 9), np.uint8)) / "slice1.png"
    raw = bytearray(path.read_bytes())
    raw[16:24] = (8000).to_bytes(4, "big") * 2  # width and height in the IHDR chunk, with a checksum that fits
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    path.write_bytes(raw)

    with pytest.raises(InputError, match=r"slice1.png announces 64000000 values in \d+ bytes"):
        read_volume(tmp_path, pictures=SCALE)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_jpeg_that_is_cut_short_is_named(tmp_path: Path, rng: np.random.Generator, share: float) -> None:
    save_stack(tmp_path, rng.integers(0, 255, (1, 80, 90)).astype(np.uint8), "jpg")
    whole = (tmp_path / "slice1.jpg").read_bytes()
    (tmp_path / "slice1.jpg").write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(InputError, match=r"slice1.jpg is not a whole JPEG picture"):
        read_volume(tmp_path, pictures=SCALE)


@pytest.mark.parametrize(
    ("spacing_mm", "black_hu", "white_hu"), [((0, 1, 1), -1000, 400), ((1, 1, 1), 400, -1000), ((1, 1, 1), 0, 0)]
)
def test_an_impossible_scale_is_refused(spacing_mm: tuple[int, int, int], black_hu: int, white_hu: int) -> None:
    with pytest.raises(InputError, match="must be"):
        PictureScale(spacing_mm, black_hu, white_hu)


def test_a_damaged_jpeg_leaves_standard_output_to_the_caller(tmp_path: Path, rng: np.random.Generator) -> None:
    """ITK's JPEG reader complains on standard output."""
    grey = rng.integers(0, 255, (1, 80, 90)).astype(np.uint8)
    whole = (save_stack(tmp_path, grey, "jpg") / "slice1.jpg").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "slice1.jpg").write_bytes(whole[:middle] + whole[middle + 500 :])
    flags = ["--spacing", "1", "1", "1", "--grey", "0", "255"]

    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "ct", "info", "--json", str(tmp_path), *flags]
    said = subprocess.run(command, capture_output=True, text=True)

    assert all(json.loads(line) for line in said.stdout.splitlines())


@pytest.mark.parametrize("beside", ["masks/{}.png", "{}_mask.png", "{} (1).png"])
def test_masks_and_copies_beside_a_stack_are_no_slices_of_it(tmp_path: Path, beside: str) -> None:
    grey = np.full((8, 9), 50, np.uint8)
    for k in range(1, 6):
        sitk.WriteImage(sitk.GetImageFromArray(grey * k % 255), str(tmp_path / f"{k:03d}.png"))
        if k > 1:
            other = tmp_path / beside.format(f"{k:03d}")
            other.parent.mkdir(exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(grey * 0), str(other))
    scale = PictureScale((2.5, 0.7, 0.7), -1000, 400)

    with pytest.raises(InputError, match=r"pictures of 2 folders or forms of names, from .*: the largest, 5, is taken"):
        read_volume(tmp_path, pictures=scale)
    volume = read_volume(tmp_path, pictures=scale, accept={"mixed_acquisitions", "not_hu"})
    assert (volume.hu.shape, volume.source.num_files) == ((5, 8, 9), 5)
