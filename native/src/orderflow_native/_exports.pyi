from array import array
from typing import Any

def event_bytes(rows: tuple[Any, ...], trades: tuple[Any, ...]) -> bytes: ...
def delta_columns(
    rows: tuple[Any, ...],
    decimals: tuple[int, int],
    limits: tuple[float, float],
    first_sequence: int,
) -> tuple[list[bytes], tuple[int, int], int, int]: ...
def fixed_point(values: array[float], decimals: int) -> tuple[bytes, int, int]: ...
