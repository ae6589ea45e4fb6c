from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.ct.volume import AXIAL, Grid, Volume, canonical, hu_array
from ipdsf_spark.errors import InputError

SHORT = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def nifti(path: Path, stored: NDArray[np.generic], affine: NDArray[np.float64] | None = None) -> Path:
    """Write stored[z, y, x]; the affine is RAS of (x, y, z)."""
    nib.save(nib.Nifti1Image(stored.T, np.diag([-0.7, -0.7, 2.5, 1.0]) if affine is None else affine), path)
    return path


@st.composite
def axes(draw: st.DrawFn) -> NDArray[np.float64]:
    """An orthonormal frame: any order and sign of the axes, turned a little, as real couches are."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    frame = np.eye(3)[list(order)] * np.array(signs)[:, None]
    x, y, z = draw(st.tuples(*[st.floats(-0.3, 0.3)] * 3))
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.linalg.solve(np.eye(3) + skew, np.eye(3) - skew)  # Cayley: a rotation
    return frame @ turn


@SHORT
@given(frame=axes(), shape=st.tuples(*[st.integers(1, 5)] * 3), data=st.data())
def test_canonical_keeps_every_voxel_at_its_place_in_the_patient(
    frame: NDArray[np.float64], shape: tuple[int, int, int], data: st.DataObject
) -> None:
    hu = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    direction = tuple(tuple(map(float, row)) for row in frame)
    grid = Grid(shape, (2.5, 0.7, 0.8), (3.0, -4.0, 5.0), direction)  # type: ignore[arg-type]
    index = data.draw(st.tuples(*[st.integers(0, n - 1) for n in shape]))

    turned = canonical(Volume(hu, grid))

    at = np.argwhere(turned.hu == hu[index])[0]
    np.testing.assert_allclose(turned.grid.world_mm(at), grid.world_mm(index), atol=1e-9)
    assert turned.hu.flags.c_contiguous
    towards = np.diag(np.asarray(turned.grid.direction)[:, ::-1])
    assert (towards > 0).all()


@SHORT
@given(frame=axes())
def test_nifti_and_itk_agree_where_a_voxel_lies(tmp_path: Path, frame: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = frame.T * np.array([0.7, 0.8, 2.5])
    affine[:3, 3] = (3, -4, 5)
    path = nifti(tmp_path / "turned.nii.gz", stored, affine)

    volume = read_volume(path)

    image = sitk.ReadImage(str(path))
    for index in [(0, 0, 0), (2, 1, 3)]:
        z, y, x = index
        world = image.TransformIndexToPhysicalPoint((x, y, z))
        at = np.argwhere(volume.hu == stored[index])[0]
        np.testing.assert_allclose(volume.grid.world_mm(at), world, atol=1e-4)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha", "scan.mhd"])
def test_the_same_scan_reads_the_same_from_every_format(chest: NDArray[np.int16], tmp_path: Path, name: str) -> None:
    image = sitk.GetImageFromArray(chest)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, -20.0, 100.0))
    sitk.WriteImage(image, str(tmp_path / name), useCompression=not name.endswith(".nii"))

    volume = read_volume(tmp_path / name)

    np.testing.assert_array_equal(volume.hu, chest)
    np.testing.assert_allclose(volume.grid.spacing_mm, (2.5, 0.8, 0.7), rtol=1e-6)
    np.testing.assert_allclose(volume.grid.origin_mm, (-10, -20, 100), rtol=1e-6)
    np.testing.assert_allclose(volume.grid.direction, ((0, 0, 1), (0, 1, 0), (1, 0, 0)), atol=1e-6)
    assert (volume.study, volume.problems) == ("scan", ())


def test_slope_and_intercept_of_nifti_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.uint16).reshape(2, 3, 4), np.diag([-1.0, -1, 1, 1]))
    image.header.set_slope_inter(2, -1024)
    image.to_filename(tmp_path / "scaled.nii")
    raw = bytearray((tmp_path / "scaled.nii").read_bytes())
    raw[352:] = np.arange(24, dtype="<u2").tobytes()  # nibabel rescales what it writes; scanners do not

    (tmp_path / "scaled.nii").write_bytes(raw)
    stored = np.arange(24).reshape(4, 3, 2)

    hu = read_volume(tmp_path / "scaled.nii").hu

    np.testing.assert_array_equal(hu, stored * 2 - 1024)
    assert hu.dtype == np.int16


def test_a_nifti_in_metres_has_its_spacing_in_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([-0.001, -0.001, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    image.to_filename(tmp_path / "metres.nii")

    np.testing.assert_allclose(read_volume(tmp_path / "metres.nii").grid.spacing_mm, (2, 1, 1), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_number_are_refused(tmp_path: Path, bad: float) -> None:
    stored = np.zeros((3, 4, 5), np.float32)
    stored[1, 1, 1] = bad

    with pytest.raises(InputError, match=r"1 values that are no number"):
        read_volume(nifti(tmp_path / "nan.nii", stored))


def test_a_time_axis_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4)), tmp_path / "cine.nii")

    with pytest.raises(InputError, match=r"4 × 4 × 4 × 3; a CT volume has three axes"):
        read_volume(tmp_path / "cine.nii")


@pytest.mark.parametrize("name", ["series.nii.gz", "series.nrrd", "series.mha"])
def test_a_series_of_one_volume_is_that_volume_and_one_of_two_is_none(
    chest: NDArray[np.int16], tmp_path: Path, name: str
) -> None:
    image = sitk.GetImageFromArray(chest)
    image.SetSpacing((0.8, 0.7, 2.5))
    image.SetOrigin((-10.0, -20.0, 100.0))
    sitk.WriteImage(sitk.JoinSeries([image]), str(tmp_path / name))

    volume = read_volume(tmp_path / name)

    np.testing.assert_array_equal(volume.hu, chest)
    np.testing.assert_allclose(volume.grid.spacing_mm, (2.5, 0.7, 0.8), atol=1e-6)
    np.testing.assert_allclose(volume.grid.origin_mm, (-10.0, -20.0, 100.0), atol=1e-5)
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(tmp_path / name))
    with pytest.raises(InputError, match=r" × 2; a CT volume has three axes"):
        read_volume(tmp_path / name)


def test_colours_are_refused(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    for name in ("rgb.nrrd", "rgb.nii"):
        sitk.WriteImage(image, str(tmp_path / name))
        with pytest.raises(InputError, match=r"rgb\."):
            read_volume(tmp_path / name)


def test_sheared_axes_are_a_tilt(tmp_path: Path) -> None:
    affine = np.diag([-0.7, -0.7, 2.5, 1.0])
    affine[1, 2] = 0.7
    path = nifti(tmp_path / "tilted.nii", np.zeros((3, 4, 5), np.int16), affine)

    with pytest.raises(InputError, match=r"sheared by 15.6°"):
        read_volume(path)


def test_a_header_without_usable_axes_is_reported(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros((5, 4, 3), np.int16), np.eye(4)).to_filename(tmp_path / "flat.nii")
    raw = bytearray((tmp_path / "flat.nii").read_bytes())
    raw[280:328] = np.diag([1.0, 0.0, 1.0, 1.0])[:3].astype("<f4").tobytes()  # srow_x, srow_y, srow_z
    (tmp_path / "flat.nii").write_bytes(raw)

    volume = read_volume(tmp_path / "flat.nii")

    assert [p.kind for p in volume.problems] == ["no_geometry"]
    assert (volume.grid.spacing_mm, volume.grid.direction) == ((1, 1, 1), AXIAL)


def with_forms(
    path: Path, stored: NDArray[np.int16], sform: NDArray[np.float64] | None, qform: NDArray[np.float64] | None
) -> Path:
    """A NIfTI whose two affines are set apart from each other; None has code 0."""
    image = nib.Nifti1Image(stored.T, None)
    image.header.set_qform(qform, code=int(qform is not None))
    image.to_filename(path)
    raw = bytearray(path.read_bytes())
    if sform is not None:
        raw[254:256] = np.int16(1).tobytes()  # sform_code
        raw[280:328] = sform[:3].astype("<f4").tobytes()
    path.write_bytes(raw)
    return path


PLACE = np.array([[-0.7, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
LINE = PLACE.copy()
LINE[1] = LINE[0]


def test_a_header_that_says_neither_form_is_read_by_its_voxel_sizes_with_a_remark(
    chest: NDArray[np.int16], tmp_path: Path
) -> None:
    image = nib.Nifti1Image(chest.T, PLACE)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.to_filename(tmp_path / "v.nii")

    volume = read_volume(tmp_path / "v.nii")

    np.testing.assert_allclose(volume.grid.spacing_mm, np.linalg.norm(PLACE[:3, :3], axis=0)[::-1], rtol=1e-6)
    assert ["left and right are not said" in str(p) for p in volume.problems] == [True]


@pytest.mark.parametrize("sform", [np.zeros((4, 4)), np.full((4, 4), np.nan), LINE])
def test_where_the_sform_is_unusable_the_qform_is_used(
    chest: NDArray[np.int16], tmp_path: Path, sform: NDArray[np.float64]
) -> None:
    volume = read_volume(with_forms(tmp_path / "v.nii", chest, sform, PLACE))

    np.testing.assert_allclose(volume.grid.spacing_mm, (2.5, 0.7, 0.7), rtol=1e-6)
    np.testing.assert_allclose(volume.grid.origin_mm, (-10, -20, 30), atol=1e-5)
    assert [(p.kind, p.is_serious) for p in volume.problems] == [("geometry_conflict", False)]


def test_an_sform_alone_and_a_qform_alone_say_where_a_volume_lies(chest: NDArray[np.int16], tmp_path: Path) -> None:
    for k, (sform, qform) in enumerate(((None, PLACE), (PLACE, PLACE))):
        volume = read_volume(with_forms(tmp_path / f"{k}.nii", chest, sform, qform))
        np.testing.assert_allclose(volume.grid.origin_mm, (-10, -20, 30), atol=1e-5)
        assert volume.problems == ()


def test_two_affines_that_disagree_are_a_remark_and_the_sform_counts(chest: NDArray[np.int16], tmp_path: Path) -> None:
    other = PLACE * np.array([[1], [1], [2], [1]])

    volume = read_volume(with_forms(tmp_path / "v.nii", chest, PLACE, other))

    np.testing.assert_allclose(volume.grid.spacing_mm, (2.5, 0.7, 0.7), rtol=1e-6)
    assert "sform and qform disagree (2.5 × 0.7 × 0.7 mm by the sform, 5 × 0.7 × 0.7 mm" in str(volume.problems[0])


@pytest.mark.parametrize("name", ["short.nii", "short.nii.gz", "short.nrrd", "short.mha"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_a_file_that_is_cut_short_is_named(chest: NDArray[np.int16], tmp_path: Path, name: str, share: float) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(chest), str(tmp_path / name), useCompression=name.endswith("gz"))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(InputError, match=r"short\."):
        survey(tmp_path / name)


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_more_than_the_file_holds_asks_for_no_memory(tmp_path: Path, packed: bool) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((30_000, 30_000, 30_000))
    raw = bytes(header.binaryblock) + b"\0" * 1000
    path = tmp_path / ("liar.nii.gz" if packed else "liar.nii")
    path.write_bytes(gzip.compress(raw) if packed else raw)

    with pytest.raises(InputError, match=r"liar.nii.* announces 54000000000000 bytes of voxels but is only"):
        survey(path)


@given(values=st.lists(st.floats(-40_000, 40_000, width=32), min_size=1, max_size=20))
def test_hu_become_short_only_when_nothing_is_lost(values: list[float]) -> None:
    array = np.array(values, np.float32)

    hu = hu_array(array)

    np.testing.assert_array_equal(hu.astype(np.float64), array.astype(np.float64))
    is_whole = (array == np.rint(array)).all() and array.min() >= -(2**15) and array.max() < 2**15
    assert hu.dtype == (np.int16 if is_whole else np.float32)


@given(values=st.lists(st.integers(-40_000, 70_000), min_size=1, max_size=20))
def test_whole_hu_become_short_only_when_nothing_is_lost(values: list[int]) -> None:
    hu = hu_array(np.array(values))

    assert hu.tolist() == values
    assert hu.dtype == (np.int16 if min(values) >= -(2**15) and max(values) < 2**15 else np.float32)


def test_several_volumes_in_a_folder_must_be_named_one_by_one(chest: NDArray[np.int16], tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii"):
        nifti(tmp_path / name, chest)

    with pytest.raises(InputError, match=r"holds 2 volumes \(a.nii, b.nii …\): name one"):
        read_volume(tmp_path)


def test_a_folder_with_one_volume_is_that_volume(chest: NDArray[np.int16], tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii", chest)

    np.testing.assert_array_equal(read_volume(tmp_path).hu, chest)


@pytest.mark.parametrize(("name", "text"), [("missing", "does not exist"), ("empty", "is an empty folder")])
def test_nothing_to_read_is_said_as_it_is(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputError, match=text):
        survey(tmp_path / name)


@pytest.mark.parametrize("name", ["text.dcm", "text.nii", "text.nii.gz", "text.nrrd", "text.mha", "text", "text.hdr"])
def test_text_under_any_name_is_no_volume(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Lorem ipsum dolor sit amet.\n" * 100)

    with pytest.raises(InputError, match="text"):
        survey(tmp_path / name)
    with pytest.raises(InputError, match="text"):
        survey(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b"Offset = 0 0 0", b"Offset = -10,5 -20 0", "Offset is written with a decimal comma"),
        (b"Offset = 0 0 0", b"Offset = -10 -20", "Offset does not hold 3 numbers"),
        (b"ElementSpacing = 1 1 1", b"ElementSpacing = 0,7 0,7 2,5", "ElementSpacing is written with a decimal comma"),
        (b"ElementSpacing = 1 1 1", b"ElementSpacing = 0.7 0.7 0", "ElementSpacing holds a length of zero"),
        (b"ElementSpacing = 1 1 1", b"ElementSpacing = a b c", "ElementSpacing does not hold 3 numbers"),
        (
            b"DimSize",
            b"ElementToIntensityFunctionSlope = 2\nDimSize",
            "ElementToIntensityFunctionSlope is 2: not applied",
        ),
    ],
)
def test_a_line_of_metaimage_that_readers_cannot_use_or_take_by_half_is_named(
    chest: NDArray[np.int16], tmp_path: Path, before: bytes, after: bytes, words: str
) -> None:
    file = tmp_path / "scan.mha"
    sitk.WriteImage(sitk.GetImageFromArray(chest), str(file))
    whole = file.read_bytes()
    assert whole.count(before) == 1
    file.write_bytes(whole.replace(before, after))

    try:
        found = "; ".join(p.text for p in survey(file).problems)
    except InputError as refused:
        found = str(refused)
    assert words in found


@pytest.mark.parametrize("spacings", ["0,7 0,7 2,5", "0.7 0.7", "0.7 0.7 0"])
def test_spacings_of_nrrd_that_cannot_be_read_are_named(
    chest: NDArray[np.int16], tmp_path: Path, spacings: str
) -> None:
    sizes = " ".join(map(str, chest.shape[::-1]))
    head = (
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nspacings: {spacings}\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "scan.nrrd").write_bytes(head.encode() + chest.tobytes())

    with pytest.raises(InputError, match=r"cannot be read: spacings (is|does|holds)"):
        survey(tmp_path / "scan.nrrd")
