"""What a run says: alerts as they come, how far it is, and one report at its end."""

from decimal import Decimal

import orjson
import pytest
from made_up_market import market_and_orders
from messages import INSTRUMENT, alert

from orderflow import command
from trading.report import FAILED, run_strategies
from trading.rules import Rules
from trading.strategy import ScriptedStrategy
from trading.terminal import ALERTS_A_SECOND, AlertLines, ProgressLine, report_rows, title_of


def rows_of(**changed: object) -> dict[str, str]:
    market, requests = market_and_orders(0)
    strategies = {"orders": ScriptedStrategy(requests)}
    found = run_strategies(lambda: market, INSTRUMENT, strategies, Rules(), balance=Decimal(1000))
    report = orjson.loads(found.report_json()) | changed
    parts = report_rows(report, {"windows": 3, "messages": {"orders": 4}})
    return {name: text for _, rows in parts for name, text in rows}


def test_a_report_says_what_a_run_was_worth_and_how_it_was_executed() -> None:
    rows = rows_of(lost=2)
    for name in ("equity", "realised", "fees", "turnover", "drawdown", "Sharpe", "limit orders",
                 "fills", "takers slippage", "takers markout", "makers markout"):  # fmt: skip
        assert rows[name]
    assert "of the highest" in rows["drawdown"]  # with a balance
    assert rows["Sharpe"].startswith("none: ")
    assert rows["sent"] == "3 windows, 4 messages of signals"
    assert rows["lost"] == "2, late 0, out of date 0"


def test_a_failed_run_says_so_in_the_first_line() -> None:
    found = {"instrument": "X", "strategies": ["a", "b"], "state": FAILED, "reason": "a: died"}
    assert title_of(found) == "X  a, b  failed: a: died"


def test_a_flood_of_alerts_is_cut_and_the_rest_counted() -> None:
    said: list[str] = []
    now = [0.0]
    lines = AlertLines(said.append, lambda: now[0])
    for number in range(ALERTS_A_SECOND + 7):
        lines.show(alert(number))
    assert len(said) == ALERTS_A_SECOND
    assert said[0] == "alert  1970-01-01 00:00:00.000  : look"
    now[0] = 1.1
    lines.show(alert(5))
    assert said[ALERTS_A_SECOND] == "alert  and 7 more, all of them in alerts.json"
    lines.close()
    assert len(said) == ALERTS_A_SECOND + 2


def test_progress_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"time_ms": 1500, "fills": 1234, "position": -0.5}
    ProgressLine(1000, 2000, shown=True).show(facts)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    line = ProgressLine(1000, 2000, shown=True)
    line.show(facts | {"time_ms": 999})  # not yet in the range
    line.show(facts)
    line.close()
    text = "1970-01-01 00:00:01  50% of the range  1,234 fills  position -0.5"
    assert capsys.readouterr().err == f"{command.CLEAR_LINE}{text}{command.CLEAR_LINE}"
    ProgressLine(1000, 2000, shown=False).show(facts)
    assert capsys.readouterr().err == ""
