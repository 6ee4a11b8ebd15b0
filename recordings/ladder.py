"""Write a moment of a recording as a person reads it: the ladder, and the trades before it."""

from orderflow.times import format_duration, format_utc
from recordings.moments import Moment


def format_ms(ms: int) -> str:
    """Write a time in ms with its fraction, UTC."""
    return f"{format_utc(ms)}.{ms % 1000:03}"


def book_lines(moment: Moment, instrument: str) -> list[str]:
    """Return a moment as lines for a person to read: ladder, then trades, newest first."""
    row = "before the first row" if moment.row_time is None else f"row {moment.row:,}"
    age = "" if moment.row_time is None else f", {_age(moment)} old"
    proven = "reliable" if moment.reliable else "not reliable: not proven by a snapshot"
    lines = [
        f"{instrument}  {format_ms(moment.time)} UTC  {row}{age}, {proven}",
        f"CVD {moment.cvd:+,.10g}  levels {moment.bid_levels:,} bids, {moment.ask_levels:,} asks",
        "",
    ]
    sides = moment.asks[::-1], moment.bids
    prices = [level[0] for side in sides for level in side]
    sizes = [level[1] for side in sides for level in side]
    width, decimals = _width(prices)
    size_width, size_decimals = _width(sizes)
    for name, side in zip(("ask", "bid"), sides, strict=True):
        lines += [
            f"  {name} {price:>{width}.{decimals}f} {size:>{size_width}.{size_decimals}f}"
            for price, size in side
        ]
        if name == "ask":
            lines.append(f"  {_spread(moment, decimals)}")
    lines += ["", "trades, newest first:" if moment.trades else "no trades from the start on"]
    lines += [
        f"  {format_ms(time)[11:]} {side or 'unknown side':<4} {price:,.12g} x {size:,.12g}"
        for time, price, size, side in reversed(moment.trades)
    ]
    return lines


def _age(moment: Moment) -> str:
    return format_duration((moment.time - (moment.row_time or 0)) / 1000)


def _spread(moment: Moment, decimals: int) -> str:
    if not (moment.bids and moment.asks):
        return "a side is empty"
    bid, ask = moment.bids[0][0], moment.asks[0][0]
    said = "crossed by" if bid > ask else "spread"
    return f"{said} {abs(ask - bid):.{decimals}f}, mid {(bid + ask) / 2:.{decimals + 1}f}"


def _width(numbers: list[float]) -> tuple[int, int]:
    """Return width and decimals that show all numbers as they are."""
    decimals = 0
    for number in numbers:
        decimals = max(decimals, _decimals(number))
    return max((len(f"{n:.{decimals}f}") for n in numbers), default=1), decimals


def _decimals(number: float) -> int:
    text = repr(number)
    digits, _, exponent = text.partition("e")
    places = len(digits.partition(".")[2].rstrip("0")) - int(exponent or 0)
    return min(max(places, 0), 20)
