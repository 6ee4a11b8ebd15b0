import json
from typing import Any

import pytest
from page_fixtures import trading
from plotly.io.json import to_json_plotly

from page import trading_view
from page.trading_contents import parse_trading
from page.wording import MINUS, money


def texts(value: Any) -> list[str]:
    """Return all text of elements, in order."""
    found: Any = json.loads(to_json_plotly(value, engine="orjson"))

    def walk(element: Any) -> list[str]:
        if isinstance(element, list):
            return [text for child in element for text in walk(child)]
        if isinstance(element, dict):
            return walk(element["props"].get("children") or [])
        return [element]

    return walk(found)


def panel(stale: bool = False, **changed: Any) -> list[str]:
    return texts(trading_view.panel(parse_trading(trading(**changed)), 1, stale=stale))


def test_without_a_run_there_is_nothing() -> None:
    assert trading_view.panel(None, 1, stale=False) == []
    assert trading_view.notes(None, stale=False) == []


def test_the_panel_has_state_strategies_and_figures() -> None:
    assert panel(fill_count=5321)[:15] == [
        "Trading", "finished", "levels, watcher",
        "Position", "0.01", "Equity", f"{MINUS}12.50", "Fills", "5,321",
        "Realised, gross", "3.25", "Fees", "8.00", "Open orders", "3",
    ]  # fmt: skip


def test_open_orders_are_a_ladder_around_the_best_prices() -> None:
    found = panel()
    start = found.index("Open order")
    assert found[start : start + 13] == [
        "Open order", "Remaining", "Strategy",
        "105,100.5", "0.05", "levels",
        "bid 104,999.9 · ask 105,000.0",
        "104,900.5", "0.05", "levels",
        "104,800.0", "0.05", "levels",
    ]  # fmt: skip
    assert "Open order" not in panel(open_orders=[], open_count=0)
    assert "best prices unknown" in panel(best_bid=None)


def test_of_many_orders_the_nearest_are_shown_and_all_are_counted() -> None:
    orders = [
        {"order": n, "side": side, "price": 105_000 + step * n, "remaining": 1, "strategy": "a"}
        for n in range(1, 11)
        for side, step in (("buy", -1), ("sell", 1))
    ]
    found = panel(open_orders=orders, open_count=234)
    start = found.index("8 of 234 open")
    prices = [text for text in found[start:] if text.startswith(("105,0", "104,9"))]
    assert prices == [f"{105_000 + n:,}.0" for n in (4, 3, 2, 1, -1, -2, -3, -4)]


def test_the_newest_alert_what_was_refused_and_what_is_not_shown_are_said() -> None:
    found = panel(fill_count=5321, rejected=12, rejected_reason="position limit: 3 of 2")
    assert "40 of 5,321 fills are marked, the newest" in found
    assert "12 orders refused; the last: position limit: 3 of 2" in found
    assert "1 alert · 00:07:00 watcher: sell: break at support 104990.5" in found
    assert not any("refused" in text or "marked" in text for text in panel())


def test_a_run_that_goes_on_does_not_say_when_it_was_written() -> None:
    assert panel()[-1].startswith("written 2")
    assert not any(text.startswith("written") for text in panel(state="running"))
    stale = panel(state="running", stale=True)
    assert (stale[1], stale[-1].startswith("written 2")) == ("stale", True)


@pytest.mark.parametrize(
    ("changed", "stale", "words"),
    [
        ({"state": "failed", "reason": "it ended"}, False, "The trading run failed: it ended"),
        ({"state": "failed"}, False, "The trading run failed: look at its terminal"),
        ({"state": "running"}, True, "The trading run has not written for more than 5 s"),
    ],
)  # fmt: skip
def test_what_ended_badly_is_a_note(changed: dict[str, Any], stale: bool, words: str) -> None:
    ((_, sentence),) = trading_view.notes(parse_trading(trading(**changed)), stale=stale)
    assert sentence.startswith(words)


@pytest.mark.parametrize("state", ["running", "finished", "stopped"])
def test_what_did_not_is_none(state: str) -> None:
    assert trading_view.notes(parse_trading(trading(state=state)), stale=False) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"), (-0.0, "0.00"), (1e-12, "0.00"), (0.00012345, "0.00012345"),
        (0.93566209, "0.9357"), (-0.5, f"{MINUS}0.5"), (-464.548, f"{MINUS}464.55"),
        (1234.5, "1,234.50"), (1_234_567.8, "1,234,568"), (2.5e12, "2.50 T"),
    ],
)  # fmt: skip
def test_money_has_the_decimals_that_matter(value: float, text: str) -> None:
    assert money(value) == text
