"""Instruments: which names are allowed, and which are close to one that was typed."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from orderflow.errors import UsageError

_ALLOWED = re.compile(r"[A-Za-z0-9._-]+")


def check_instrument(instrument: str) -> None:
    """Raise `UsageError` unless `instrument` can be a name: no path and no pattern gets through."""
    if not _ALLOWED.fullmatch(instrument) or not instrument.strip("."):
        msg = (
            "an instrument has only letters, digits, '-', '_' and '.', such as BTC-USDT; "
            f"found {instrument!r}"
        )
        raise UsageError(msg, "INSTRUMENT", instrument)


def nearest_first(name: str, names: Iterable[str]) -> list[str]:
    """Return `names`, those most similar to `name` first, ignoring upper and lower case."""
    wanted = name.upper()
    return sorted(names, key=lambda n: -SequenceMatcher(None, wanted, n.upper()).ratio())
