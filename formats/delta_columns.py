"""Make NautilusTrader's columns of book rows: deltas, and decimals of a fixed point."""

from array import array
from collections.abc import Iterator
from math import floor

from metrics.level_log import LevelRows
from orderflow.compiled import fastest

DECIMALS = 16
WIDTH = 16
"""NautilusTrader's high precision: whole numbers of 10^-16, little-endian, of 16 bytes."""
ADD, UPDATE, DELETE, CLEAR = 1, 2, 3, 4
OF_SNAPSHOT, LAST = 32, 128
EXACT_DOUBLES = float(2**53)
NS_PER_MS = 1_000_000
_POWERS = [float(10**decimals) for decimals in range(DECIMALS + 1)]

Delta = tuple[int, int, int, float, float]
"""Action, side, flags, price and size."""
Deltas = tuple[list[bytes], tuple[int, int], int, int]


def python_delta_columns(
    rows: LevelRows, decimals: tuple[int, int], limits: tuple[float, float], first_sequence: int
) -> Deltas:
    """Return `(columns, decimals, inexact, beyond)` of the deltas of rows.

    The columns are action, side, flags, price, size, sequence and time in ns, each as the bytes of
    an array. A row that replaces the book clears it and adds its levels; any other updates levels
    and deletes those of size 0. The last delta of a row is marked as such. Rows are numbered from
    `first_sequence`.

    `decimals`, of prices and of sizes, are those known to be needed; those returned are as many as
    it takes. `inexact` counts numbers that even 16 do not say exactly, `beyond` the levels left out
    because price or size is above its limit.
    """
    columns: list[bytearray] = [bytearray() for _ in range(7)]
    price_decimals, size_decimals = decimals
    inexact = beyond = place = 0
    for row, ms in enumerate(rows.time):
        found = list(_deltas_of(rows, row, place))
        place += rows.counts[2 * row] + rows.counts[2 * row + 1]
        kept = [delta for delta in found if delta[3] <= limits[0] and delta[4] <= limits[1]]
        beyond += len(found) - len(kept)
        for number, (action, side, flags, price, size) in enumerate(kept, 1):
            prices, price_decimals, inexact_price = _fixed(price, price_decimals)
            sizes, size_decimals, inexact_size = _fixed(size, size_decimals)
            inexact += inexact_price + inexact_size
            last = LAST if number == len(kept) else 0
            values = (bytes((action,)), bytes((side,)), bytes((flags | last,)), prices, sizes)
            numbers = (first_sequence + row, ms * NS_PER_MS)
            for column, value in zip(columns, (*values, *map(_eight, numbers)), strict=True):
                column.extend(value)
    return list(map(bytes, columns)), (price_decimals, size_decimals), inexact, beyond


def _deltas_of(rows: LevelRows, row: int, place: int) -> Iterator[Delta]:
    replaces = rows.snapshot[row]
    if replaces:
        yield CLEAR, 0, OF_SNAPSHOT, 0.0, 0.0
    for side in (1, 2):
        count = rows.counts[2 * row + side - 1]
        for level in range(place, place + count):
            price, size = rows.price[level], rows.size[level]
            if replaces and size:
                yield ADD, side, OF_SNAPSHOT, price, size
            elif not replaces:
                yield (UPDATE if size else DELETE), side, 0, price, size
        place += count


def _eight(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _fixed(value: float, decimals: int) -> tuple[bytes, int, bool]:
    exact = _is_exact(value, decimals)
    while not exact and decimals < DECIMALS:
        decimals += 1
        exact = _is_exact(value, decimals)
    units = round(value * _POWERS[decimals])
    if units >= EXACT_DOUBLES:
        whole = floor(value)
        units = whole * 10**decimals + round((value - whole) * _POWERS[decimals])
    return (units * 10 ** (DECIMALS - decimals)).to_bytes(WIDTH, "little"), decimals, not exact


def _is_exact(value: float, decimals: int) -> bool:
    power = _POWERS[decimals]
    units = round(value * power)
    if units < EXACT_DOUBLES:
        return units / power == value
    whole = floor(value)
    return whole + round((value - whole) * power) / power == value


def python_fixed_point(values: "array[float]", decimals: int) -> tuple[bytes, int, int]:
    """Return values as bytes of a fixed point, the decimals it takes, and how many are inexact.

    Values are not negative and below 2^53.
    """
    made, inexact = bytearray(), 0
    for value in values:
        number, decimals, is_inexact = _fixed(value, decimals)
        made += number
        inexact += is_inexact
    return bytes(made), decimals, inexact


delta_columns = fastest("delta_columns", python_delta_columns)
fixed_point = fastest("fixed_point", python_fixed_point)
