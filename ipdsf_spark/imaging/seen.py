"""Whether a model has seen a volume, or its patient, in training: then the volume says nothing about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipdsf_spark.ct.identity import content_of, share_of_marks, slice_marks
from ipdsf_spark.ct.volume import Volume


def seen_in_training(facts: Mapping[str, Any], volume: Volume) -> str:
    """In which way a volume was part of a model's training; empty if in none that can be told.

    Args:
        facts: of the model.
        volume: with its patient's pseudonym, made by the key of the training, where there is one.
    """
    trained_on = facts.get("trained_on_volumes")
    if not trained_on:  # a model of an earlier version, which knew volumes by name
        is_named = volume.study in facts.get("trained_on", ())
        return f"{volume.study} is one of the volumes it was trained on" if is_named else ""
    content, marks = content_of(volume.hu), slice_marks(volume.hu)
    patients = {volume.source.patient, volume.source.patient_as_written} - {""}
    for known in trained_on:
        if known.get("content") == content:
            return f"it is {known['name']}, on which the model was trained"
        share = share_of_marks(known.get("slices", ()), marks)
        if share:
            return f"it shares slices with {known['name']}, on which the model was trained ({share:.0%} of its marks)"
        if known.get("patient") in patients:
            return f"it is of the patient of {known['name']}, on which the model was trained"
    return ""
