"""Write numbers as people read them; `orderflow.times` writes times."""

from __future__ import annotations

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
