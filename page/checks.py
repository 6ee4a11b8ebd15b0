"""Check single values of the files that the page reads, and say what is wrong with one.

What passes is bounded, in number, in length and in size. `what` names the value in the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orderflow.errors import OrderflowError

# The end of the year 9999: beyond it there is no date to show.
MAX_TIMESTAMP_MS = 253_402_300_799_999
# No price, size or count of a market is beyond it, and sums and ratios of such numbers are finite.
MAX_NUMBER = 1e30
MAX_NAME = 100
"""Longest name: of a kind of data issue, of a strategy."""
MAX_TEXT = 500
"""Longest text that is shown whole; a longer one is cut."""

NUMBERS = frozenset({int, float})


class FileContentError(OrderflowError):
    """Report a file that is no content of the page: `kind` tells the ways apart in the log."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def number(value: Any, what: str) -> float:
    """Return a finite number within `MAX_NUMBER`; raise `FileContentError` for all else."""
    if type(value) not in NUMBERS or not -math.inf < value < math.inf:
        raise FileContentError(f"{what} is {short_form(value)}, not a finite number", "shape")
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise FileContentError(
            f"{what} is {short_form(value)}, beyond ±{MAX_NUMBER:g}, the largest that is shown",
            "shape",
        )
    return float(value) if isinstance(value, float) else int(value)


def short_form(value: Any) -> str:
    """Return what is shown of a value in an error."""
    # An int of thousands of digits is refused by repr itself.
    return "a number of many digits" if _is_huge(value) else f"{value!r:.60}"


def _is_huge(value: Any) -> bool:
    return isinstance(value, int) and not -(10**40) < value < 10**40


def timestamp(value: Any, what: str) -> int:
    """Return a time in ms, of which there is a date; raise `FileContentError` for all else."""
    found = number(value, what)
    if not 0 <= found <= MAX_TIMESTAMP_MS:
        raise FileContentError(
            f"{what} is {short_form(value)}, not a time in ms from 0 to {MAX_TIMESTAMP_MS}", "shape"
        )
    return int(found)


def kind_of(value: Any) -> str:
    """Return what kind of JSON value it is, in words."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def bounded(found: Sequence[Any] | dict[str, Any], most: int, what: str, unit: str) -> None:
    """Raise `FileContentError` for what has more than `most` of its units."""
    if len(found) > most:
        raise FileContentError(
            f"{what} has {len(found):,} {unit}, at most {most:,} are read", "size"
        )


def typed(value: Any, kind: type, what: str) -> Any:
    """Return a value of that type; raise `FileContentError` for all else."""
    if not isinstance(value, kind):
        raise FileContentError(f"{what} holds {kind_of(value)}", "shape")
    return value


def text(value: Any, what: str) -> str:
    """Return a text, cut to `MAX_TEXT`; raise `FileContentError` for what is no text."""
    found = str(typed(value, str, what))
    return found if len(found) <= MAX_TEXT else found[: MAX_TEXT - 1] + "…"


def name(value: Any, what: str) -> str:
    """Return a text of `MAX_NAME` at most; raise `FileContentError` for all else."""
    found = str(typed(value, str, what))
    bounded(found, MAX_NAME, what, "characters")
    return found
