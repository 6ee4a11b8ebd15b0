"""What the options of a command ask for: the market, strategies, rules, limits and endpoints.

`given` are the values of options by the names of their parameters.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from metrics.registry import OPTION
from orderflow.errors import UsageError
from orderflow.instruments import check_instrument
from orderflow.times import parse_range
from recordings.discovery import DEFAULT_DATA_DIR
from trading.account import Contract, Fees, RiskGate, RiskLimits
from trading.bars import BarChoice, choose_bars
from trading.gateway import EXECUTOR, GATEWAY
from trading.paper import read_orders
from trading.protocol import Endpoints
from trading.report import SCRIPTED
from trading.rules import Rules
from trading.sessions import Strategy
from trading.settings import parse_settings, setting_names
from trading.sources import SourceOptions
from trading.strategy import ScriptedStrategy, make_strategy, strategy_class

REPLAY = "replay"
MAX_NAME = 100
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII).fullmatch


def market_of(given: Mapping[str, Any]) -> SourceOptions:
    """Return the market that is asked for; raise `UsageError` for one that cannot be meant."""
    instrument = given["instrument"]
    check_instrument(instrument)
    market = SourceOptions(
        instrument,
        *parse_range(given["start_date"], given["end_date"]),
        given["data_dir"] or DEFAULT_DATA_DIR,
        str(given["book_mode"]),
        given["follow"],
        given.get("url"),
    )
    if market.is_live:
        _check_live(given)
    return market


def _check_live(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for what cannot be had together with a live market."""
    url = given.get("url")
    option = "--follow" if url is None else "--url"
    if url is not None and not url.startswith(("ws://", "wss://")):
        msg = f"--url must begin with ws:// or wss://; found {url[:200]!r}"
        raise UsageError(msg, "--url", url)
    why = None
    if url is not None and given["follow"]:
        why = "--url records what comes, and follows that by itself; found --follow"
    elif given.get("demo"):
        why = "--demo makes a recording that is whole, to which nothing is appended"
    elif given.get("speed", "max") != "max":
        why = f"what is live comes at its own pace; found --speed {given['speed']}"
    if why:
        msg = f"{option} cannot go with that: {why}; leave one of the two out"
        raise UsageError(msg, option)


# -- strategies


@dataclass(frozen=True)
class StrategyChoice:
    """A strategy by its name in the run, what it is, and its settings as text."""

    name: str
    kind: str
    settings: Mapping[str, str]
    orders: Path | None = None

    def make(self) -> Strategy:
        """Return a new one; raise an `OrderflowError` where it cannot be meant."""
        if self.orders:
            return ScriptedStrategy(read_orders(self.orders))
        return make_strategy(self.kind, self.settings)


def strategies_of(given: Mapping[str, Any]) -> dict[str, StrategyChoice]:
    """Return the strategies of a run by their names; raise `UsageError`.

    A setting goes to all that have it, or with the name of one before it and a dot to that one. The
    contract's tick goes to those that have a setting `tick` and are not told otherwise.
    """
    kinds = _named(given["strategies"] or ())
    settings = _settings_of(kinds, parse_settings(given["settings"] or ()), given["tick"])
    chosen = {name: StrategyChoice(name, kind, settings[name]) for name, kind in kinds.items()}
    if given["orders"]:
        chosen[SCRIPTED] = StrategyChoice(SCRIPTED, SCRIPTED, {}, given["orders"])
    if not chosen:
        msg = "a run needs a strategy: --strategy NAME, or a list of orders, --orders FILE"
        raise UsageError(msg, "--strategy")
    return chosen


def strategy_of(text: str, settings: list[str] | None, orders: Path | None) -> StrategyChoice:
    """Return one strategy, of a text like `order-flow` or `a=order-flow`; raise `UsageError`."""
    if (text == SCRIPTED) != (orders is not None):
        msg = f"--orders FILE goes with the strategy named {SCRIPTED}, and with no other"
        raise UsageError(msg, "--orders", orders)
    names = [] if orders else [text]
    given = {"strategies": names, "settings": settings, "orders": orders, "tick": None}
    return next(iter(strategies_of(given).values()))


def _named(texts: Iterable[str]) -> dict[str, str]:
    """Return what strategies are by their names, of texts like `order-flow` or `a=order-flow`."""
    kinds: dict[str, str] = {}
    for text in texts:
        name, equals, kind = text.partition("=")
        check_name(name)
        if name in kinds:
            msg = f"two strategies are named {name}; give one a name of its own: a={kind or name}"
            raise UsageError(msg, "--strategy", text)
        kinds[name] = kind if equals else name
    return kinds


def check_name(name: str) -> None:
    """Raise `UsageError` for a text that cannot be the name of a strategy in a run."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name[0] == "-":
        msg = (
            f"the name of a strategy has 1 to {MAX_NAME} printable characters, the first no -; "
            f"found {name[:MAX_NAME]!r}"
        )
        raise UsageError(msg, "--strategy", name)
    if name in (GATEWAY, EXECUTOR, SCRIPTED, REPLAY):
        msg = f"{name} is the name of another process of the run; give it one of its own: a=…"
        raise UsageError(msg, "--strategy", name)


def _settings_of(
    kinds: Mapping[str, str], texts: Mapping[str, str], tick: str | None
) -> dict[str, dict[str, str]]:
    known = {name: setting_names(strategy_class(kind)) for name, kind in kinds.items()}
    ticks = {} if tick is None else {"tick": tick}
    general = {name: {k: v for k, v in ticks.items() if k in known[name]} for name in kinds}
    special: dict[str, dict[str, str]] = {name: {} for name in kinds}
    for key, value in texts.items():
        owner = max((n for n in kinds if key.startswith(f"{n}.")), key=len, default=None)
        if owner:
            special[owner][key.removeprefix(f"{owner}.")] = value
            continue
        # Of a single strategy, what it does not have is refused in its own words.
        having = list(kinds) if len(kinds) == 1 else [n for n in kinds if key in known[n]]
        if not having:
            there = "; ".join(f"{n} has {', '.join(known[n]) or 'none'}" for n in kinds)
            msg = f"no strategy has a setting {key!r}; {there or 'there is none but --orders'}"
            raise UsageError(msg, "--set", key)
        for name in having:
            general[name][key] = value
    return {name: general[name] | special[name] for name in kinds}


def bars_of(given: Mapping[str, Any]) -> BarChoice | None:
    """Return the bars that strategies are handed, None where none are asked for."""
    return choose_bars(given["bars"], given["metric"] or (), given["window_seconds"])


def check_bars(choice: BarChoice | None, strategies: Mapping[str, Strategy]) -> None:
    """Raise `UsageError` where a strategy needs bars or metrics that are not asked for."""
    asked = [metric.text for metric in choice.metrics] if choice else []
    for name, strategy in strategies.items():
        for text in getattr(strategy, "metrics", ()):
            if text not in asked:
                there = f"it has {', '.join(asked)}" if asked else "it has none"
                msg = (
                    f"{name} needs the metric {text}, which the run does not make: {there}; "
                    f"add --metric {text}"
                )
                raise UsageError(msg, OPTION, text)
        if choice is None and not hasattr(strategy, "on_tick"):
            msg = (
                f"{name} decides on bars alone, and the run makes none; add --bars KIND:SIZE or "
                "--metric NAME"
            )
            raise UsageError(msg, "--bars")


# -- rules and limits


def rules_of(given: Mapping[str, Any]) -> Rules:
    """Return what paper execution assumes; raise `UsageError` for what cannot be meant."""
    return Rules(
        entry_ms=given["entry_ms"],
        response_ms=given["response_ms"],
        whole_fills=given["whole_fills"],
        partial_makers=given["partial_makers"],
        accept_unreliable=given["accept_unreliable"],
        fees=Fees(_number(given, "maker"), _number(given, "taker")),
        contract=Contract(
            size=_number(given, "contract_size"),
            inverse=given["inverse"],
            tick=optional_number(given, "tick"),
            lot=optional_number(given, "lot"),
        ),
    )


def gate_of(given: Mapping[str, Any]) -> RiskGate:
    """Return what refuses orders beyond the limits; raise `UsageError` for limits that are none."""
    return RiskGate(
        RiskLimits(
            max_position=optional_number(given, "max_position"),
            max_orders=given["max_orders"],
            rate_window_ms=given["rate_window_ms"],
            max_loss=optional_number(given, "max_loss"),
        )
    )


def balance_of(given: Mapping[str, Any]) -> Decimal | None:
    """Return what an account begins with, None where it isn't given; raise `UsageError`."""
    balance = optional_number(given, "balance")
    if balance is not None and balance <= 0:
        msg = f"--balance is above 0; found {given['balance']}"
        raise UsageError(msg, "--balance", given["balance"])
    return balance


def optional_number(given: Mapping[str, Any], name: str) -> Decimal | None:
    """Return the number of an option, None where it is not given; raise `UsageError`."""
    return None if given[name] is None else _number(given, name)


def _number(given: Mapping[str, Any], name: str) -> Decimal:
    text, option = given[name], f"--{name.replace('_', '-')}"
    try:
        # `Decimal` alone takes more than what is written in plain digits: "1_0", "nan", blanks.
        return Decimal(text if _NUMBER(text) else "")
    except InvalidOperation as error:
        msg = f"{option} is a number, such as 0.01; found {text[:60]!r}"
        raise UsageError(msg, option, text) from error


# -- where the processes meet


def endpoints_of(given: Mapping[str, Any]) -> Endpoints:
    """Return the endpoints that are asked for, by default in a directory of the user's own."""
    directory = given["endpoints"] or _own_directory()
    usual = Endpoints.in_directory(directory)
    names = ("ticks", "control", "signals", "answers")
    return Endpoints(*(given[name] or getattr(usual, name) for name in names))


def _own_directory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "orderflow-trading"
    try:
        return Path.home() / ".cache" / "orderflow-replay" / "trading"
    except RuntimeError as error:
        msg = "there is no home directory for the sockets; name a directory with --endpoints DIR"
        raise UsageError(msg, "--endpoints") from error
