"""The worked examples of docs/trading.md, read as they stand there, and run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from places import PROJECT

from orderflow.events import OrderbookUpdate, Trade
from trading.matching import MatchingEngine
from trading.orders import OrderRequest, OrderType, Side
from trading.paper import PaperResult, run_orders
from trading.rules import Rules

PAGE = PROJECT / "docs" / "trading.md"
OPTIONS = {
    "whole_fills": Rules(whole_fills=True),
    "partial_makers": Rules(partial_makers=True),
}
_LINE = re.compile(r"(?P<ms>\d+) +(?P<what>book|row|trade|order \d+) +(?P<rest>.+)")
_ORDER = re.compile(r"(\w+) (\w+) ([\d.]+)(?: at ([\d.]+))?(?:, cancel at (\d+))?")
_TRADE = re.compile(r"(\w+) ([\d.]+) at ([\d.]+)")


@dataclass
class Example:
    """One example: what goes in, and what comes of it, a line for each fill and end."""

    title: str
    market: list[tuple[OrderbookUpdate, list[Trade]]] = field(default_factory=list)
    orders: list[OrderRequest] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)

    def run(self, engine: type[MatchingEngine] = MatchingEngine) -> PaperResult:
        return run_orders(self.market, self.orders, self.rules, engine=engine)

    def read_line(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        assert found, line
        ms, what, rest = int(found["ms"]), found["what"], found["rest"]
        if what == "trade":
            self._read_trade(ms, rest)
        elif what in ("book", "row"):
            sides = dict(re.findall(r"(bids|asks) ((?:[\d.]+:[\d.]+ *)+)", rest))
            bids, asks = (_levels(sides.get(side, "")) for side in ("bids", "asks"))
            row = len(self.market) + 1
            update = OrderbookUpdate(bids, asks, ms, None, row, what == "book")
            self.market.append((update, []))
        else:
            self._read_order(ms, int(what.split()[1]), rest)

    def _read_trade(self, ms: int, text: str) -> None:
        found = _TRADE.fullmatch(text)
        assert found, text
        side, size, price = found.groups()
        self.market[-1][1].append((1, None, float(price), float(size), side, ms))

    def _read_order(self, ms: int, number: int, text: str) -> None:
        found = _ORDER.fullmatch(text)
        assert found, text
        side, kind, quantity, price, cancel = found.groups()
        self.orders.append(
            OrderRequest(
                number,
                Side(side),
                OrderType(kind),
                Decimal(quantity),
                Decimal(price) if price else None,
                ms,
                int(cancel) if cancel else None,
            )
        )


def _levels(text: str) -> list[list[str]]:
    return [level.split(":") for level in text.split()]


def examples() -> list[Example]:
    """Read the examples, each by the heading above it."""
    found: list[Example] = []
    sections = re.split(r"^### (?=\d)", PAGE.read_text(), flags=re.MULTILINE)[1:]
    for section in sections:
        title = section.partition("\n")[0]
        for text in re.findall(r"```example\n(.*?)```", section, re.DOTALL):
            found.append(_example(title, text))
    return found


def _example(title: str, text: str) -> Example:
    given, _, wanted = text.partition("---\n")
    lines = given.splitlines()
    example = Example(title, outcome=wanted.splitlines())
    if lines[0].startswith("with "):
        example.rules = OPTIONS[lines.pop(0).removeprefix("with ")]
    for line in lines:
        example.read_line(line)
    return example


def outcome_of(result: PaperResult) -> list[str]:
    """Return what came of a run in the words of the examples, sorted."""
    return sorted([*_fill_lines(result), *_end_lines(result)])


def _fill_lines(result: PaperResult) -> Iterator[str]:
    for fill in result.fills:
        role = "maker" if fill.maker else "taker"
        yield (
            f"order {fill.order}   filled at {fill.time_ms}: "
            f"{_plain(fill.quantity)} at {_plain(fill.price)} as {role}"
        )


def _end_lines(result: PaperResult) -> Iterator[str]:
    for end in result.ends:
        if end.status == "filled":
            last = [fill.time_ms for fill in result.fills if fill.order == end.order][-1]
            assert end.time_ms == last
        elif end.status == "open":
            yield f"order {end.order}   open"
        elif end.status == "rejected":
            yield f"order {end.order}   rejected at {end.time_ms}: {end.reason}"
        else:
            more = f", {_plain(end.filled)} filled" if end.filled else ""
            yield f"order {end.order}   {end.status} at {end.time_ms}{more}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
