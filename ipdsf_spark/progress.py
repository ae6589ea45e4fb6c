"""Progress for people, where tqdm is installed: a training needs no more than numpy and torch."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO


class _Screen:
    """A stream that may go away: what reads a pipe may end, and a bar is no reason for the work to end with it.

    tqdm itself keeps its lock when writing fails, and whoever writes next waits for ever.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream does; into nothing where it is gone."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._leave()
        except (OSError, ValueError):  # a full disk; a closed file
            pass
        return len(text)

    def flush(self) -> None:
        """As the stream does."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._leave()
        except (OSError, ValueError):
            return

    def _leave(self) -> None:
        """Let what is still buffered go nowhere: Python tries again as it ends, and a failure there is its exit code.

        As Python's documentation advises for SIGPIPE: nobody reads this pipe again.
        """
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Silent:
    """What a progress bar is asked for, without showing it."""

    n = 0
    total: float | None = None

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, number: float = 1) -> None:
        """So many more."""
        self.n += int(number)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """A text behind the bar."""

    def set_description(self, text: str) -> None:
        """A text before it."""


def progress_bar(items: Iterable[Any] | None = None, **how: Any) -> Any:
    """A bar of tqdm on standard error, by its own arguments; nothing is shown where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent(items or ())
    return tqdm(items, **how | {"file": _Screen(sys.stderr)})


def counting(bar: Any) -> Callable[[int], None]:
    """What moves a progress bar on by a number."""

    def count(number: int) -> None:
        bar.update(number)

    return count
