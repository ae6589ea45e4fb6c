"""Errors of whatever holds a place, said as what was being done, where and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ipdsf_spark.errors import InputError, IpdsfError


def first_line(error: Exception) -> str:
    """How an error begins; its kind if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def naming(
    doing: str, reason_of: Callable[[Exception], object] = first_line, *, kinds: type[Exception] = Exception
) -> Iterator[None]:
    """Turn errors into one that says what was being done.

    Args:
        doing: what, and where: "read s3://bucket/key".
        reason_of: what is told of an error.
        kinds: errors that are meant; others stay what they are.

    Raises:
        InputError: something failed.
    """
    try:
        yield
    except IpdsfError:
        raise
    except kinds as error:
        raise InputError(f"cannot {doing}: {reason_of(error)}") from error
