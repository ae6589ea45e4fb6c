"""One patient is one pseudonym, wherever the slices lie and however the identifier is padded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.imaging.seen import seen_in_training
from ipdsf_spark.packing.patients import Pseudonyms, one_each, pseudonyms_of
from tests.ct.synthetic_dicom import save, slice_dataset

pytestmark = pytest.mark.training
KEY = b"key of a test"


def patient_of(folder: Path, identifier: str) -> str:
    folder.mkdir()
    save(slice_dataset(np.zeros((4, 4)), PatientID=identifier), folder / "slice.dcm")
    return pseudonyms_of(folder, KEY).patient


@pytest.mark.parametrize(
    "padded",
    ["SYN-0815 ", " SYN-0815", "  SYN-0815  ", "SYN-0815\0", "syn-0815", "Syn-0815 ", "\u00a0SYN-0815", "SYN-0815\t"],
)
def test_blanks_around_an_identifier_and_its_case_make_no_other_patient(tmp_path: Path, padded: str) -> None:
    patient = patient_of(tmp_path / "one", "SYN-0815")

    assert patient == patient_of(tmp_path / "two", padded) != patient_of(tmp_path / "other", "SYN-0816")
    assert patient_of(tmp_path / "nobody", "  ") == ""


@pytest.mark.parametrize(
    "word",
    ["ANONYMOUS", "Anonymized", "anonymous^patient", "<anon>", "DE-IDENTIFIED", "N/A", "0", "00000000", "XXXX", "---"],
)
def test_a_word_that_stands_for_everybody_is_no_patient(tmp_path: Path, word: str) -> None:
    assert patient_of(tmp_path / "one", word) == ""
    assert pseudonyms_of(tmp_path / "one", KEY) == Pseudonyms(is_missing=True)


@pytest.mark.parametrize("identifier", ["ANON-001", "Anonymous 2", "Patient12", "0815", "X12", "NOID-7", "A"])
def test_an_identifier_with_a_number_or_a_name_of_its_own_is_a_patient(tmp_path: Path, identifier: str) -> None:
    assert patient_of(tmp_path / "one", identifier) != ""


def test_a_patient_behind_a_link_to_a_folder_is_known(tmp_path: Path) -> None:
    patient = patient_of(tmp_path / "elsewhere", "SYN-0815")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "series").symlink_to(tmp_path / "elsewhere")

    assert pseudonyms_of(tmp_path / "study", KEY).patient == patient != ""


def test_a_patient_whom_an_earlier_version_packed_keeps_the_pseudonym_of_the_data_set() -> None:
    """It told `Lung-7` from `LUNG-7`: whoever was packed as the former is still known as that."""
    small, large, other = (
        Pseudonyms("of LUNG-7", "of Lung-7"),
        Pseudonyms("of LUNG-7", "of LUNG-7"),
        Pseudonyms("o", "o"),
    )

    assert one_each([small, large, other], {"of Lung-7"}) == ["of Lung-7", "of Lung-7", "o"]
    assert one_each([small, large, Pseudonyms()], set()) == ["of LUNG-7", "of LUNG-7", ""]
    assert one_each([small], {"of LUNG-7", "of Lung-7"}) == ["of LUNG-7"]


@pytest.mark.parametrize("was", ["patient", "as_written"])
def test_a_patient_of_the_training_is_known_in_an_evaluation_by_either_pseudonym(tmp_path: Path, was: str) -> None:
    (tmp_path / "one").mkdir()
    save(slice_dataset(np.zeros((4, 4)), PatientID="Syn-0815"), tmp_path / "one" / "slice.dcm")
    packed = getattr(pseudonyms_of(tmp_path / "one", KEY), was)
    volume = read_volume(tmp_path / "one", pseudonym_key=KEY)

    facts = {"trained_on_volumes": [{"name": "chest-1", "patient": packed, "content": "another", "slices": []}]}
    assert "of the patient of chest-1" in seen_in_training(facts, volume)
    assert seen_in_training({"trained_on_volumes": [{"name": "nobody", "patient": ""}]}, volume) == ""
