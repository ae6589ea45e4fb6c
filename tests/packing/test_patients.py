"""One patient is one pseudonym, wherever the slices lie and however the identifier is padded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.packing.patients import pseudonym_of
from tests.ct.synthetic_dicom import save, slice_dataset

pytestmark = pytest.mark.training
KEY = b"key of a test"


def patient_of(folder: Path, identifier: str) -> str:
    folder.mkdir()
    save(slice_dataset(np.zeros((4, 4)), PatientID=identifier), folder / "slice.dcm")
    return pseudonym_of(folder, KEY)


@pytest.mark.parametrize("padded", ["SYN-0815 ", " SYN-0815", "  SYN-0815  ", "SYN-0815\0"])
def test_blanks_around_an_identifier_make_no_other_patient(tmp_path: Path, padded: str) -> None:
    patient = patient_of(tmp_path / "one", "SYN-0815")

    assert patient == patient_of(tmp_path / "two", padded) != patient_of(tmp_path / "other", "SYN-0816")
    assert patient_of(tmp_path / "nobody", "  ") == ""


def test_a_patient_behind_a_link_to_a_folder_is_known(tmp_path: Path) -> None:
    patient = patient_of(tmp_path / "elsewhere", "SYN-0815")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "series").symlink_to(tmp_path / "elsewhere")

    assert pseudonym_of(tmp_path / "study", KEY) == patient != ""
