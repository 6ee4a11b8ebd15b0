"""What a run says on the terminal: alerts as they come, and at its end one report."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orderflow import command
from orderflow.issues import LABELS, describe
from orderflow.times import format_utc
from recordings.recorder_rows import EVENT_KINDS
from trading.messages import Alert

ALERTS_A_SECOND = 20

Row = tuple[str, str]
Say = Callable[[str], None]


class AlertLines:
    """Say alerts as they come, and of more than `ALERTS_A_SECOND` only how many there were."""

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._until = 0.0
        self._said = self._left_out = 0

    def show(self, alert: Alert) -> None:
        """Say an alert."""
        now = self._clock()
        if now >= self._until:
            self.close()
            self._until, self._said = now + 1, 0
        if self._said == ALERTS_A_SECOND:
            self._left_out += 1
            return
        self._said += 1
        at = "" if alert.price is None else f" at {alert.price:,.10g}"
        self._say(f"alert  {_moment(alert.time_ms)}  {alert.strategy}: {alert.text}{at}")

    def close(self) -> None:
        """Say how many were left out."""
        if self._left_out:
            self._say(f"alert  and {self._left_out:,} more, all of them in alerts.json")
            self._left_out = 0


class ProgressLine:
    """Show on a terminal how far a run from `start_ms` to `end_ms` is, in a line that stays."""

    def __init__(self, start_ms: int, end_ms: int, *, shown: bool) -> None:
        self._start_ms, self._end_ms = start_ms, end_ms
        self._is_shown = shown and command.is_terminal()

    def show(self, facts: Mapping[str, Any]) -> None:
        """Show time, fills and position, as a `Ledger` tells them."""
        if not self._is_shown or facts["time_ms"] < self._start_ms:  # not yet in the range
            return
        share = (facts["time_ms"] - self._start_ms) / (self._end_ms - self._start_ms)
        self._write(
            f"{format_utc(facts['time_ms'])}  {min(max(share, 0.0), 1.0):.0%} of the range  "
            f"{facts['fills']:,} fills  position {facts['position']:.10g}"
        )

    def close(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._write("")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{command.CLEAR_LINE}{text}")
            sys.stderr.flush()


def _moment(time_ms: int) -> str:
    return f"{format_utc(time_ms)}.{time_ms % 1000:03}"


def report_rows(report: Mapping[str, Any], bus: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    """Return what is said of a run, `report` as in report.json: parts with rows of name and text.

    `bus` has the counts of messages that a run over the bus is told of, by process.
    """
    found = report["statistics"]
    return [
        ("money", _money_rows(found)),
        ("orders", _order_rows(report, found)),
        ("execution", _execution_rows(found)),
        ("messages", _message_rows(report, bus)),
    ]


def _money_rows(found: Mapping[str, Any]) -> list[Row]:
    share = found["max_drawdown_share"]
    drawdown = _money(found["max_drawdown"])
    return [
        ("equity", f"{_money(found['equity'])}, closed {_money(found['closing_equity'])}"),
        ("realised", f"{_money(found['realised'])} before fees, position {found['position']:.10g}"),
        (
            "fees",
            f"{_money(found['fees'])}: makers {_money(found['maker_fees'])}, "
            f"takers {_money(found['taker_fees'])}",
        ),
        ("turnover", f"{_money(found['turnover'])}, in the market {found['time_in_market']:.0%}"),
        ("drawdown", drawdown if share is None else f"{drawdown}, {share:.2%} of the highest"),
        ("Sharpe", _sharpe(found["sharpe"])),
    ]


def _sharpe(sharpe: Mapping[str, Any]) -> str:
    made_of = f"{sharpe['samples']:,} samples of {sharpe['sample_seconds']:g} s"
    if sharpe["value"] is None:
        return f"none: {made_of}; 30 that differ are needed"
    scaled = f"times {sharpe['factor']:.2f}" if sharpe["annualised"] else "not annualised"
    return f"{sharpe['value']:.3f} of {made_of}, {scaled}"


def _order_rows(report: Mapping[str, Any], found: Mapping[str, Any]) -> list[Row]:
    limits = found["limit_orders"]
    executor = report["counts"]["executor"]
    takers, makers = found["takers"]["fills"], found["makers"]["fills"]
    rejected = report["counts"]["rejected"]
    rows = [
        ("signals", f"{executor['signals']:,}, alerts {executor['alerts']:,}"),
        ("fills", f"{found['fills']:,}: makers {makers:,}, takers {takers:,}"),
    ]
    if limits["accepted"]:
        rows.append(
            (
                "limit orders",
                f"{limits['accepted']:,} accepted, {limits['fill_ratio']:.1%} filled, by quantity "
                f"{limits['fill_ratio_by_quantity']:.1%}",
            )
        )
    # Reasons may name numbers: the most frequent ones are said, all of them are in the file.
    most = sorted(rejected.items(), key=lambda one: -one[1])[:5]
    rows += [("rejected", f"{count:,}: {reason}") for reason, count in most]
    if len(rejected) > len(most):
        rows.append(("rejected", f"and for {len(rejected) - len(most):,} more reasons"))
    return rows


def _execution_rows(found: Mapping[str, Any]) -> list[Row]:
    return [
        row
        for kind in ("takers", "makers")
        if found[kind]["fills"]
        for row in (
            (
                f"{kind} slippage",
                f"decision {_bp(found[kind]['slippage_at_decision'])}, arrival "
                f"{_bp(found[kind]['slippage_at_arrival'])}",
            ),
            (
                f"{kind} markout",
                ", ".join(f"{s} s {_bp(found[kind][f'markout_{s}s'])}" for s in (1, 5, 30)),
            ),
        )
    ]


def _message_rows(report: Mapping[str, Any], bus: Mapping[str, Any]) -> list[Row]:
    counts = report["counts"]
    rows = [("ticks", f"{counts['ticks']:,}")] if "ticks" in counts else []
    if bus.get("windows"):
        windows, messages = bus["windows"], sum(bus["messages"].values())
        rows.append(("sent", f"{windows:,} windows, {messages:,} messages of signals"))
    late, too_old = counts["executor"]["late"], counts["executor"]["too_old"]
    rows.append(("lost", f"{report['lost']:,}, late {late:,}, out of date {too_old:,}"))
    if market_lost := counts.get("market_lost"):
        rows.append(("market lost", ", ".join(_loss(*one) for one in sorted(market_lost.items()))))
    if issues := counts.get("data_issues"):
        rows.append(("data issues", ", ".join(describe(issues))))
    return rows


def _loss(kind: str, count: int) -> str:
    label = EVENT_KINDS[kind].label if kind in EVENT_KINDS else LABELS.get(kind, kind)
    return f"{count:,} {label}"


def say_report(report: Mapping[str, Any], bus: Mapping[str, Any]) -> None:
    """Say the report of a run on stderr: as a table on a terminal, else as plain lines."""
    title = title_of(report)
    parts = report_rows(report, bus)
    if command.is_terminal():
        _show_table(title, parts)
        return
    command.say("\n".join([title, *_lines(row for _, rows in parts for row in rows)]))


def title_of(report: Mapping[str, Any]) -> str:
    """Return the first line: what was run, and how it ended."""
    reason = f": {report['reason']}" if report["reason"] else ""
    names = ", ".join(report["strategies"])
    return f"{report['instrument']}  {names}  {report['state']}{reason}"


def _lines(rows: Iterable[Row]) -> list[str]:
    return [f"  {name:<16} {text}" for name, text in rows]


def _show_table(title: str, parts: list[tuple[str, list[Row]]]) -> None:
    from rich import box  # noqa: PLC0415 (slow to import, and only for terminals)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", title_style="bold",
        show_header=False, pad_edge=False,
    )  # fmt: skip
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for _, rows in parts:
        for name, text in rows:
            table.add_row(name, Text(text))
        table.add_section()
    Console(stderr=True, highlight=False).print(table)


def _money(value: float) -> str:
    return f"{value:,.2f}" if abs(value) >= 1 or not value else f"{value:.6g}"


def _bp(mean: Mapping[str, Any]) -> str:
    return "-" if mean["bp"] is None else f"{mean['bp']:+.2f} bp"
