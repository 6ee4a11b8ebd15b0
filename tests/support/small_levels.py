"""Rows of a book of few prices, odd ones among them, each list reproducible from a seed."""

import json
from random import Random

from orderflow.events import BookRow


def random_rows(seed: int, count: int = 150) -> tuple[list[BookRow], list[bool]]:
    """Return rows and whether each replaces the book: text, blobs, empty, odd and unreadable."""
    draw = Random(seed)
    ms, snapshots = 1_749_427_200_000, []
    rows: list[BookRow] = []
    for number in range(count):
        ms += draw.choice((0, 1, 100))
        snapshots.append(number == 0 or draw.random() < 0.05)
        sides = [_side(draw), _side(draw)]
        if draw.random() < 0.03:
            sides[draw.randrange(2)] = "no levels"
        rows.append((ms, number, sides[0], sides[1].encode()))
    return rows, snapshots


def _side(draw: Random) -> str:
    levels: list[list[object]] = []
    for _ in range(draw.choice((0, 1, 3, 9))):
        price = draw.randrange(900, 2000) / 10
        size = draw.choice((0, 0.5, 1.25, 7, round(draw.random() * 10, 8)))
        forms: list[list[object]] = [[str(price), str(size)], [price, size], [price, size, 0, 1]]
        levels.append(draw.choice(forms))
    if draw.random() < 0.05:
        levels.append(["nan", "1"])
    return json.dumps(levels)
