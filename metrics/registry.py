"""Find metrics by what the command line says: a name of ours, or a class of one's own."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from metrics.depth_metrics import BookSlope, DepthNearMid, Imbalance, TotalDepth
from metrics.metric import BookMetric, Metric, TradeMetric
from metrics.micro_price import MicroPrice
from metrics.order_flow_metrics import OrderFlowImbalance
from metrics.price_impact_metrics import KyleLambda, RealisedVolatility, Vpin
from metrics.touch_metrics import Mid, Spread, WeightedMid
from metrics.volume_metrics import (
    CumulativeDelta,
    Delta,
    LargestTrade,
    MeanTrade,
    TradeCount,
    Vwap,
)
from orderflow.errors import UsageError

OPTION = "--metric"
MAX_METRICS = 32
METRICS: dict[str, type[Metric]] = {
    kind.name: kind
    for kind in (
        Imbalance,
        TotalDepth,
        Spread,
        Mid,
        WeightedMid,
        MicroPrice,
        DepthNearMid,
        BookSlope,
        OrderFlowImbalance,
        Delta,
        CumulativeDelta,
        Vwap,
        TradeCount,
        MeanTrade,
        LargestTrade,
        RealisedVolatility,
        Vpin,
        KyleLambda,
    )
}
"""Our own, by name; docs/metrics.md has each with an example."""

ReadMoment = Callable[[str], int]


@dataclass(frozen=True)
class MetricSpec:
    """A metric that was asked for, as `text`; `make` returns a new object of it."""

    text: str
    kind: type[Metric]
    arguments: tuple[tuple[str, Any], ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return all parameters and their values, those by default too."""
        given = inspect.signature(self.kind).bind(**dict(self.arguments))
        given.apply_defaults()
        return given.arguments

    def make(self) -> Metric:
        """Return the metric. Raise `UsageError` for a value that it does not take."""
        try:
            metric = self.kind(**dict(self.arguments))
        except UsageError as error:
            msg = f"{OPTION} {self.text}: {error}"
            raise UsageError(msg, error.name, error.value) from error
        found, wanted = len(metric.value()), len(metric.fields)
        if found != wanted or not wanted:
            msg = (
                f"{OPTION} {self.text}: a value has a number for each field; found {found} for "
                f"{wanted} fields"
            )
            raise UsageError(msg, OPTION, self.text)
        if len({str(field) for field in metric.fields}) < wanted:
            found_names = ", ".join(map(str, metric.fields))
            msg = f"{OPTION} {self.text}: its fields have a name each; found {found_names}"
            raise UsageError(msg, OPTION, self.text)
        return metric


def parse_metrics(texts: list[str], read_moment: ReadMoment | None = None) -> list[MetricSpec]:
    """Return what `parse_metric` makes of each; raise `UsageError` for too many, or for repeats."""
    if len(texts) > MAX_METRICS:
        msg = f"at most {MAX_METRICS} metrics go into a file; found {len(texts)}"
        raise UsageError(msg, OPTION, len(texts))
    specs = [parse_metric(text, read_moment) for text in texts]
    for place, spec in enumerate(specs):
        if spec.text in texts[:place]:
            msg = f"{OPTION} {spec.text} was given twice; leave one out"
            raise UsageError(msg, OPTION, spec.text)
    return specs


def parse_metric(text: str, read_moment: ReadMoment | None = None) -> MetricSpec:
    """Return the metric named by `NAME[:param=value,…]` or `module:Class[:param=value,…]`.

    `read_moment` turns a time into ms, for the parameters that may be one. Raise `UsageError` for a
    name, a parameter or a value that is not known, and for a class that is no metric.
    """
    name, _, rest = text.partition(":")
    if is_own(text):
        class_name, _, rest = rest.partition(":")
        kind = _own_metric(text, name, class_name)
    else:
        kind = _known_metric(name)
    spec = MetricSpec(text, kind, tuple(_arguments(text, kind, rest, read_moment)))
    spec.make()
    return spec


def is_own(text: str) -> bool:
    """Return whether a text asks for a class of one's own, which is code to be imported."""
    rest = text.partition(":")[2]
    return bool(rest) and "=" not in rest.partition(":")[0]


def _known_metric(name: str) -> type[Metric]:
    if name not in METRICS:
        near = get_close_matches(name, METRICS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(METRICS))}"
        msg = f"{OPTION} {name}: there is no metric of this name; {hint}"
        raise UsageError(msg, OPTION, name)
    return METRICS[name]


def _own_metric(text: str, module_name: str, class_name: str) -> type[Metric]:
    try:
        module = import_module(module_name)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        # A module that is there and fails to import another is a mistake in it, not in the name.
        if isinstance(error, ModuleNotFoundError) and not module_name.startswith(f"{error.name}"):
            raise
        msg = f"{OPTION} {text}: there is no module {module_name!r}; is it in this folder?"
        raise UsageError(msg, OPTION, text) from error
    kind = getattr(module, class_name, None)
    if not (isinstance(kind, type) and issubclass(kind, BookMetric | TradeMetric)):
        msg = (
            f"{OPTION} {text}: {module_name} has no class {class_name!r} derived from BookMetric "
            "or TradeMetric; docs/metrics.md has an example"
        )
        raise UsageError(msg, OPTION, text)
    if issubclass(kind, BookMetric) and issubclass(kind, TradeMetric):
        msg = f"{OPTION} {text}: {class_name} is made of rows or of trades; found both"
        raise UsageError(msg, OPTION, text)
    missing = [word for word in ("name", "formula", "unit", "source") if not hasattr(kind, word)]
    if missing:
        msg = f"{OPTION} {text}: {class_name} does not say its {', '.join(missing)}"
        raise UsageError(msg, OPTION, text)
    return kind


def _arguments(
    text: str, kind: type[Metric], given: str, read_moment: ReadMoment | None
) -> list[tuple[str, Any]]:
    parameters = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name not in parameters or name in arguments:
            known = ", ".join(parameters) or "none"
            msg = f"{OPTION} {text}: {part!r} is none of its parameters, once: {known}"
            raise UsageError(msg, OPTION, text)
        if name in kind.moments and value[:4].isdecimal() and "-" in value and read_moment:
            value = str(read_moment(value))
        arguments[name] = _converted(text, parameters[name], value)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            msg = f"{OPTION} {text}: it needs a {name}, as in {kind.name}:{name}=…"
            raise UsageError(msg, OPTION, text)
    return list(arguments.items())


def _converted(text: str, parameter: inspect.Parameter, value: str) -> int | float | str:
    """Return a value of the type that the parameter has by default, or is annotated with."""
    wanted = parameter.annotation
    if parameter.default is not parameter.empty:
        wanted = type(parameter.default)
    for kind, word in ((int, "a whole number"), (float, "a number")):
        if wanted in {kind, kind.__name__}:
            try:
                return kind(value)
            except ValueError as error:
                msg = f"{OPTION} {text}: {parameter.name} is {word}; found {value!r}"
                raise UsageError(msg, parameter.name, value) from error
    return value
