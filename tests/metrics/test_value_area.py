import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.value_area import value_area


def by_definition(rows: list[float], volumes: list[float]) -> tuple[int, int, int]:
    """Walk with whole volumes, one pair at a time, keeping a set of the rows that are in."""
    most = [place for place in range(len(rows)) if volumes[place] == max(volumes)]
    centre = rows[0] + rows[-1]
    poc = sorted(most, key=lambda place: (abs(2 * rows[place] - centre), rows[place]))[0]
    inside = {poc}
    while 10 * sum(volumes[place] for place in inside) < 7 * sum(volumes):
        above = [place for place in (max(inside) + 1, max(inside) + 2) if place < len(rows)]
        below = [place for place in (min(inside) - 1, min(inside) - 2) if place >= 0]
        sums = [sum(volumes[place] for place in pair) for pair in (above, below)]
        if not above and not below:
            break
        inside |= {*(above if above and (not below or sums[0] >= sums[1]) else below)}
    return poc, max(inside), min(inside)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), min_size=1, unique_by=lambda r: r[0])
)
def test_it_is_the_one_by_definition(found: list[tuple[int, int]]) -> None:
    rows = [float(row) for row, _ in sorted(found)]
    volumes = [float(volume) for _, volume in sorted(found)]
    assert value_area(rows, volumes) == by_definition(rows, volumes)


@pytest.mark.parametrize(
    ("volumes", "area"),
    [
        ([5], (0, 0, 0)),
        ([0, 0, 0], (1, 1, 1)),
        ([1, 1, 1, 1], (1, 3, 1)),  # of two in the middle the lower; then above when equal
        ([9, 1, 1, 9], (0, 3, 0)),
        ([1, 2, 10, 2, 1], (2, 4, 2)),  # 3 above and 3 below: above
        ([1, 3, 10, 2, 1], (2, 2, 0)),
        ([0, 10, 1, 1, 1, 1, 1], (1, 3, 1)),
        ([100, 1, 1, 1, 1, 200], (5, 5, 0)),  # only below is left, at last one row
    ],
)
def test_ties_and_ends_are_as_written(volumes: list[float], area: tuple[int, int, int]) -> None:
    rows = [float(row) for row in range(len(volumes))]
    assert value_area(rows, volumes) == area
