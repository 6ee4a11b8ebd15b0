"""Say which multiples of the recorded pace a replay may have."""

from math import isfinite

SLOWEST, FASTEST = 0.01, 1e6
"""A day takes a hundred days, or a tenth of a second. Beyond it is max."""


def is_speed(value: object) -> bool:
    """Return whether a value is a number within the limits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and isfinite(value) and SLOWEST <= value <= FASTEST  # type: ignore[arg-type, operator]
