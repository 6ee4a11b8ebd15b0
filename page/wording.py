"""Write numbers as people read them; `orderflow.times` writes times."""

from __future__ import annotations

from orderflow.times import format_duration

# The minus of a figure: as wide as a plus, and no line breaks at it.
MINUS = "\N{MINUS SIGN}"


def fixed(value: float, decimals: int) -> str:
    """Return `value` with `decimals` decimals and thousands separated."""
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def short(value: float) -> str:
    """Return a size or volume in few digits: 0.002, 31.42, 4,518, 52.3 k, 1.25 M."""
    size = abs(value)
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit * 0.99995 and size >= 9999.5:
            return f"{fixed(value / limit, 2 if size < limit * 99.995 else 1)} {unit}"
    if size >= 1000:
        return fixed(value, 0)
    return fixed(value, 8 if size < 0.01 else 4 if size < 1 else 2).rstrip("0").rstrip(".")


def money(value: float) -> str:
    """Return an amount of money: two decimals, none from a million on, more under 1."""
    if abs(value) >= 1e9 or 5e-9 <= abs(value) < 1:
        return short(value)
    if abs(value) >= 1e6:
        return fixed(value, 0)
    return fixed(value, 2) if abs(value) >= 1 else "0.00"


LONGEST_AGE_SECONDS = 86_400
"""A newest row older than this was not recorded now: its age says nothing about the recorder."""
SHORTEST_AGE_SECONDS = 10
"""A younger one is what is to be expected."""


def liveness(behind_ms: int | None, newest_row_age_ms: int | None) -> str:
    """Say how far what is shown is behind the recording, and how old its newest row is."""
    parts = []
    if behind_ms is not None:
        parts.append(f"{format_duration(behind_ms / 1000)} behind")
    age = (newest_row_age_ms or 0) / 1000
    if SHORTEST_AGE_SECONDS <= age < LONGEST_AGE_SECONDS:
        parts.append(f"newest row {format_duration(age)} old")
    return " · ".join(parts)


def recorder_losses(counts: dict[str, int]) -> str:
    """Say how often the recorder lost something, by kind; nothing where it did not."""
    kinds = [
        f"{n:,} \N{MULTIPLICATION SIGN} {kind.replace('_', ' ')}" for kind, n in counts.items() if n
    ]
    return f"recorder lost: {', '.join(kinds)}" if kinds else ""
