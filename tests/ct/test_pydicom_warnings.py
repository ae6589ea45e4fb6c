"""What is remarked of a file is what its library says of the file, and nothing that happened elsewhere meanwhile."""

from __future__ import annotations

import warnings

import pytest

from ipdsf_spark.ct.dicom_fields import quiet_pydicom


def test_what_pydicom_says_of_a_file_is_remarked_without_the_value_it_quotes() -> None:
    said: list[str] = []

    with quiet_pydicom(said):
        warnings.warn("Invalid value for VR PN: 'Doe^Jane'", UserWarning, stacklevel=1)

    assert said == ["Invalid"]


@pytest.mark.parametrize("category", [ResourceWarning, DeprecationWarning, FutureWarning])
def test_what_was_left_open_elsewhere_or_will_change_in_a_library_is_no_remark_on_the_file(
    category: type[Warning],
) -> None:
    said: list[str] = []

    with quiet_pydicom(said):
        warnings.warn("Implicitly cleaning up <TemporaryDirectory '/tmp/a'>", category, stacklevel=1)

    assert said == []
