"""Strategies by name: those of this package, one's own, and one that sends what a file says.

A strategy is an object with `on_tick`, `on_bar` or both (`trading.sessions`) that reads no clock
and does nothing else: the same one decides in one process, over the bus and on a live market. If it
is a dataclass, the fields of its constructor are its settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module

from orderflow.errors import UsageError
from trading.decisions import market_order, mid_of
from trading.messages import Alert, SignalType, TickEvent, TradingSignal
from trading.metric_alert import MetricAlertStrategy
from trading.order_flow_strategy import OrderFlowStrategy
from trading.orders import OrderRequest, Side
from trading.sessions import Strategy
from trading.settings import parse_settings, with_settings
from trading.support_resistance import SupportResistanceStrategy

__all__ = [
    "STRATEGIES",
    "MetricAlertStrategy",
    "OrderFlowStrategy",
    "ScriptedStrategy",
    "Side",
    "Strategy",
    "SupportResistanceStrategy",
    "make_strategy",
    "market_order",
    "mid_of",
    "parse_settings",
    "strategy_class",
]

STRATEGIES: dict[str, type[Strategy]] = {
    "metric-alert": MetricAlertStrategy,
    "order-flow": OrderFlowStrategy,
    "support-resistance": SupportResistanceStrategy,
}


def make_strategy(name: str, settings: Mapping[str, str] | None = None) -> Strategy:
    """Return a new strategy, by its name or as `module:Class`, with settings given as text.

    The module is looked for where Python looks for modules, the current directory included for
    `python -m`. Raise `UsageError` for what is not there, is no strategy, or does not fit.
    """
    return with_settings(strategy_class(name), name, settings or {})


def strategy_class(name: str) -> type[Strategy]:
    """Return the class of a strategy, by its name or as `module:Class`; raise `UsageError`."""
    kind = _own(name) if ":" in name else STRATEGIES.get(name)
    if kind is None:
        near = get_close_matches(name, STRATEGIES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        msg = (
            f"there is no strategy {name[:60]!r}; {hint}there are {', '.join(STRATEGIES)}, "
            "and your own as module:Class"
        )
        raise UsageError(msg, "strategy", name)
    return kind


def _own(name: str) -> type[Strategy]:
    module_name, _, class_name = name.partition(":")
    try:
        module = import_module(module_name)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        # A module that is there and fails to import another is a mistake in it, not in the name.
        if isinstance(error, ModuleNotFoundError) and not module_name.startswith(f"{error.name}"):
            raise
        msg = f"there is no module {module_name!r} for the strategy {name!r}; is it in this folder?"
        raise UsageError(msg, "strategy", name) from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        near = get_close_matches(class_name, classes, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        msg = f"the module {module_name} has no class {class_name!r}{hint}"
        raise UsageError(msg, "strategy", name)
    if not any(callable(getattr(kind, method, None)) for method in ("on_tick", "on_bar")):
        msg = (
            f"{name} has no method on_tick(tick) or on_bar(bar), and is no strategy; "
            "docs/trading.md has one"
        )
        raise UsageError(msg, "strategy", name)
    return kind


class ScriptedStrategy:
    """Send the orders of a list, each at its time; signal n is the order at place n - 1.

    All are handed over at the first tick: the executor keeps each until its time has come.
    """

    def __init__(self, orders: Iterable[OrderRequest]) -> None:
        self._orders = list(orders)

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        """Return all orders at the first tick, nothing afterwards."""
        orders, self._orders = self._orders, []
        return [_signal_of(order, tick.instrument) for order in orders]


def _signal_of(order: OrderRequest, instrument: str) -> TradingSignal:
    return TradingSignal(
        instrument=instrument,
        time_ms=order.sent_ms,
        side=order.side,
        order=SignalType(order.type.value),
        price=order.price,
        quantity=order.quantity,
        valid_until_ms=order.valid_until_ms,
        cancel_ms=order.cancel_ms,
    )
