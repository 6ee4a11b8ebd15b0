"""Hypothesis strategies shared by the tests: levels as recorders write them, and worse."""

import json

from hypothesis import strategies as st

PRICES = [f"{100 + tick / 10:.1f}" for tick in range(-40, 41)]
decimals = st.sampled_from(PRICES)
sizes = st.sampled_from(["0", "0", "1", "0.1", "2.5", "0.30000000000000004", "1e-8", "12345.678"])
numeric_sizes: st.SearchStrategy[float] = st.sampled_from([0, 1, 0.1, 2.5, 12345.678, 7])


@st.composite
def levels(draw: st.DrawFn) -> list[object]:
    """One level of 2 to 4 fields, of strings as OKX sends them or of numbers."""
    if draw(st.booleans()):
        fields: list[object] = [draw(decimals), draw(sizes), "0", "1"]
    else:
        fields = [float(draw(decimals)), draw(numeric_sizes), 0, 1]
    return fields[: draw(st.integers(2, 4))]


@st.composite
def quoted_levels(draw: st.DrawFn) -> list[object]:
    """One level exactly as OKX sends it."""
    return [draw(decimals), draw(sizes.filter(lambda s: "e" not in s)), "0", "1"]


hostile_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.sampled_from(["nan", "inf", "-1", "1e400", "", " 1 ", "1_0", "0x10", "١٢", "1,2", "[", '"']),
    st.text("ab\"'[]\\1,é ", max_size=5),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from("ab1"), st.integers(0, 3), max_size=2),
)
hostile_levels = st.one_of(st.lists(hostile_values, max_size=4), hostile_values)


def as_text(side: list[object], style: str) -> bytes:
    """Write a side the way a recorder would: JSON, spaced JSON or a Python literal."""
    if style == "literal":
        return repr(side).encode("utf-8", "replace")
    separators = (", ", ": ") if style == "spaced" else (",", ":")
    return json.dumps(side, separators=separators).encode()


@st.composite
def side_texts(draw: st.DrawFn) -> bytes:
    """A side's text as found in recordings."""
    style = draw(st.sampled_from(["json", "json", "spaced", "literal"]))
    kind = draw(st.sampled_from([levels(), quoted_levels(), quoted_levels()]))
    side = draw(st.lists(kind, max_size=12))
    return as_text(list(side), style)


@st.composite
def hostile_side_texts(draw: st.DrawFn) -> bytes:
    """A side's text that may hold anything, or be nothing of the kind."""
    if draw(st.integers(0, 3)) == 0:
        return draw(
            st.one_of(st.binary(max_size=30), st.text('[]"0123,. e-', max_size=30).map(str.encode))
        )
    side = draw(st.lists(st.one_of(levels(), hostile_levels), max_size=6))
    return as_text(list(side), draw(st.sampled_from(["json", "spaced", "literal"])))
