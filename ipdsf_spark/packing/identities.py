"""Which of the volumes that were read are new, which are there already, and which must be refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import Study
from ipdsf_spark.packing.patients import require_whole_patients
from ipdsf_spark.packing.volumes import Packed


@dataclass(frozen=True)
class Sorted:
    """Volumes by what becomes of them; every volume is named in one of the first three.

    Attributes:
        good: to be added.
        left_out: with the reason.
        skipped: in the data set already, with their names there.
        remarks: about the good ones.
    """

    good: tuple[Packed, ...]
    left_out: tuple[str, ...]
    skipped: tuple[str, ...]
    remarks: tuple[str, ...]


def sorted_out(packed: Sequence[Packed], known: Iterable[Study], *, skips_bad: bool = False) -> Sorted:
    """Hold volumes against those of the data set and against each other, by their content.

    Args:
        packed: what the tasks say.
        known: volumes of the data set.
        skips_bad: leave out what cannot be read instead of refusing all.

    Raises:
        InputError: a volume cannot be read, would change its split or take another's name, a patient or slices of one
            volume would be in both splits, or nothing is left.
    """
    known = list(known)
    contents = {s.content: (s.name, s.split) for s in known if s.content}
    names = {s.name: "the data set" for s in known}
    good: list[Packed] = []
    left_out: list[str] = []
    skipped: list[str] = []
    wrong: list[str] = []
    for p in packed:
        if p.error:
            (left_out if skips_bad else wrong).append(p.error)
        elif p.content in contents:
            name, split = contents[p.content]
            if p.split_is_given and p.split != split:
                wrong.append(
                    f"{p.path} is {name!r}, which is for {split}: a volume keeps its split "
                    f"(to use it for {p.split}, pack under another name)"
                )
            else:
                skipped.append(f"{p.path} is in the data set already, as {name!r} ({split})")
        elif p.study in names:
            wrong.append(f"{p.path}: the name {p.study!r} belongs to another volume, {names[p.study]}")
        elif not p.num_cubes:
            left_out.append(f"{p.path}: shows nothing but air, of which no cube is kept")
        else:
            good.append(p)
            contents[p.content], names[p.study] = (p.study, p.split), p.path
    if wrong:
        raise InputError("cannot pack: " + "; ".join(wrong))
    if not good and not skipped:
        raise InputError("none of the volumes can be packed: " + "; ".join(left_out))
    require_whole_patients(
        [*((s.name, s.patient, s.split) for s in known), *((p.path, p.patient, p.split) for p in good)]
    )
    shared = _sharing(known, good)
    remarks = (*(f"{p.path}: {remark}" for p in good for remark in p.remarks), *shared)
    return Sorted(tuple(good), tuple(left_out), tuple(skipped), remarks)


def _sharing(known: Sequence[Study], good: Sequence[Packed]) -> tuple[str, ...]:
    """Which volumes share slices: a part of a volume, or a longer piece of it, is another volume of the same patient.

    The remembered marks of a volume are the lowest of its hashes, so that those which two volumes share are among the
    marks of both.

    Raises:
        InputError: they would be in both splits.
    """
    owners: dict[str, dict[str, str]] = {}  # mark → split → name
    for study in known:
        for mark in study.slices:
            owners.setdefault(mark, {})[study.split] = study.name
    found: dict[tuple[str, str], str] = {}
    torn: dict[tuple[str, str], str] = {}
    for p in good:
        for split, name in {pair for mark in p.slices for pair in owners.get(mark, {}).items()}:
            text = f"{p.path} ({p.split}) shares slices with {name} ({split})"
            (found if split == p.split else torn)[p.path, name] = text
        for mark in p.slices:
            owners.setdefault(mark, {})[p.split] = p.path
    if torn:
        raise InputError(
            f"slices of {len(torn)} volume(s) would be in both splits: {'; '.join(list(torn.values())[:5])}. Give them "
            "the same split"
        )
    return tuple(found.values())
