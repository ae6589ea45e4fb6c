"""Progress for people, where tqdm is installed: a training needs no more than numpy and torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Silent:
    """What a progress bar is asked for, without showing it."""

    n = 0
    total: float | None = None

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, number: float = 1) -> None:
        """So many more."""
        self.n += int(number)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """A text behind the bar."""


def progress_bar(**how: Any) -> Any:
    """A bar of tqdm, by its own arguments, or nothing to be seen where it is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent()
    return tqdm(**how)


def counting(bar: Any) -> Callable[[int], None]:
    """What moves a progress bar on by a number."""

    def count(number: int) -> None:
        bar.update(number)

    return count
