"""Models and checkpoints on disk: whole or not at all.

    model.pt        the averaged generator, as it was best in validation, and the facts about it: what inference needs
    model.json      the same facts, to be read by people
    checkpoint.pt   everything a resumed training needs

Files are written beside their place and moved into it, so that an interruption or a full disk leaves the older ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import torch

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.autoencoder import AnyGenerator, new_generator
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.networks import Networks

FORMAT: Final = "ipdsf-cgan/1"
MODEL_FILE: Final = "model.pt"
FACTS_FILE: Final = "model.json"
CHECKPOINT_FILE: Final = "checkpoint.pt"


@dataclass(frozen=True)
class Model:
    """A trained generator and what is known about it: task, cube size, enhancement, data."""

    generator: AnyGenerator
    facts: Mapping[str, Any]


def save_model(folder: Path, nets: Networks, facts: Mapping[str, Any]) -> None:
    """Write the best averaged generator with its facts (anything that JSON can hold)."""
    whole = {"format": FORMAT, "generator_settings": nets.generator.settings.facts, **facts}
    text = json.dumps(whole, indent=1)
    _make(folder)
    _write(folder / MODEL_FILE, lambda part: saved({"facts": text, "weights": nets.best_average}, part))
    _write(folder / FACTS_FILE, lambda part: part.write_text(text + "\n", encoding="utf-8"))


def load_model(path: Path | str, device: torch.device | str = "cpu") -> Model:
    """Read a model from its folder or file.

    Raises:
        InputError: nothing is there, or it is damaged, or of another format.
    """
    path = Path(path)
    file = path / MODEL_FILE if path.is_dir() else path
    stored = _load(file)
    try:
        facts = json.loads(stored["facts"])
        if facts.get("format") != FORMAT:
            raise InputError(f"{file} is a model of format {facts.get('format')!r}; this version reads {FORMAT}")
        settings = GeneratorSettings(**facts["generator_settings"])
        if facts.get("task") == "autoencode" and not settings.code_channels:
            raise InputError(f"{file} is a U-Net whose skips may copy its input, and no autoencoder: train it anew")
        generator = new_generator(settings)
        generator.load_state_dict(stored["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{file} is no model of this project, or a damaged one ({error})") from error
    return Model(generator.to(device).eval().requires_grad_(False), facts)


def save_checkpoint(folder: Path, nets: Networks, progress: Mapping[str, Any]) -> None:
    """Write the state of a training; `progress` is what the training loop needs beside the networks."""
    _make(folder)
    content = {"format": FORMAT, "progress": json.dumps(dict(progress)), "state": nets.state()}
    _write(folder / CHECKPOINT_FILE, lambda part: saved(content, part))


def load_checkpoint(
    folder: Path, nets: Networks, *, require: Callable[[Mapping[str, Any]], None] = lambda progress: None
) -> dict[str, Any]:
    """Put a saved state into `nets` and return the progress saved with it.

    Args:
        folder: of the training.
        nets: of the same shape.
        require: looks at the progress before `nets` are touched, and raises where it is of another training.

    Raises:
        InputError: the checkpoint is damaged, or of networks of another shape.
    """
    file = folder / CHECKPOINT_FILE
    stored = _load(file)
    try:
        progress: dict[str, Any] = json.loads(stored["progress"])
        require(progress)
        nets.load_state(stored["state"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{file} does not fit these networks, or is damaged ({error})") from error
    return progress


def has_checkpoint(folder: Path) -> bool:
    """Whether a training was begun here."""
    return (folder / CHECKPOINT_FILE).is_file()


def is_marked(file: Path) -> bool | None:
    """Whether a model or checkpoint is of this project; None for a damaged one, of which nobody can tell."""
    try:
        stored = _load(file)
    except InputError:
        return None
    try:
        format_ = json.loads(stored["facts"])["format"] if "facts" in stored else stored.get("format")
    except (ValueError, KeyError, TypeError):
        return False
    return format_ == FORMAT


def json_is_marked(file: Path) -> bool | None:
    """The same of the facts beside a model; None for damaged ones."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return isinstance(facts, dict) and facts.get("format") == FORMAT


def _load(file: Path) -> dict[str, Any]:
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist; `ipdsf ct train` writes it") from error
    except Exception as error:  # unpickling raises whatever foreign bytes lead to
        # Of what torch says, the first sentence: what follows advises to run whatever code the file holds.
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise InputError(f"{file} is no file of this project, or a damaged one ({reason})") from error
    if not isinstance(stored, dict):
        raise InputError(f"{file} is no file of this project: it holds a {type(stored).__name__}")
    return stored


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the folder of the model, {folder}: {error.strerror or error}") from error


class _Watched:
    """A file that remembers why it could not be written, which torch does not tell."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes | memoryview) -> int:
        rest = memoryview(content).cast("B")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]  # of the last bytes that a disk has room for, a part
        except OSError as error:
            self.error = error
            raise
        return memoryview(content).nbytes

    def flush(self) -> None:
        """Nothing waits to be written."""


def saved(content: object, path: Path) -> None:
    """`torch.save` that says why a file cannot be written: torch calls a full disk an "unexpected pos".

    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb", buffering=0) as file:
        watched: Any = _Watched(file)
        try:
            torch.save(content, watched)
        except Exception as error:
            raise (watched.error or error) from error


def _write(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write {path}: {reason}; what was there before is untouched") from error
