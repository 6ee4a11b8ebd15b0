"""The settings of a strategy: the fields of its dataclass, given as text, checked and converted."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from decimal import Decimal
from difflib import get_close_matches
from math import isfinite
from typing import Any, TypeVar, get_type_hints

import msgspec

from orderflow.errors import UsageError

T = TypeVar("T")


def parse_settings(given: Iterable[str]) -> dict[str, str]:
    """Return settings given as `name=value`; raise `UsageError` for other text and for repeats."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            msg = f"a setting is given as name=value; found {text[:60]!r}"
            raise UsageError(msg, "set", text)
        if name in found:
            msg = f"the setting {name} is given twice, as {found[name]!r} and {value!r}; give one"
            raise UsageError(msg, name, value)
        found[name] = value
    return found


def setting_names(kind: type) -> list[str]:
    """Return the names of a class's settings: none where it is no dataclass."""
    return [each.name for each in fields(kind) if each.init] if is_dataclass(kind) else []


def with_settings(kind: type[T], title: str, given: Mapping[str, str]) -> T:
    """Return a new `kind`, a dataclass, with settings given as text; `title` is for messages.

    A class that is no dataclass has no settings. Raise `UsageError` for a setting that is not
    there, does not fit its type, or is refused by the class with a `ValueError`.
    """
    known = {each.name: each for each in fields(kind) if each.init} if is_dataclass(kind) else {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(_unknown(title, name, list(known)), name, value)
    missing = [name for name, each in known.items() if name not in given and _is_required(each)]
    if missing:
        msg = f"{title} needs {', '.join(missing)}; give each with --set name=value"
        raise UsageError(msg, missing[0])
    types = get_type_hints(kind) if given else {}
    values = {name: _convert(title, name, text, types[name]) for name, text in given.items()}
    try:
        return kind(**values)
    except (ValueError, TypeError, OverflowError) as error:
        msg = f"{title} cannot be made with {dict(given)}: {error}"
        raise UsageError(msg) from error


def check_at_least(title: str, least: float, **values: float | Decimal) -> None:
    """Raise `UsageError` for a value below the least, or not finite."""
    for name, value in values.items():
        if not (isfinite(value) and value >= least):
            msg = f"{title}: {name} is at least {least:g}; found {value}"
            raise UsageError(msg, name, value)


def check_quantity(title: str, quantity: Decimal) -> None:
    """Raise `UsageError` for a quantity that is not above 0."""
    if not (quantity.is_finite() and quantity > 0):
        msg = f"{title}: quantity is above 0; found {quantity}"
        raise UsageError(msg, "quantity", quantity)


def _is_required(each: "Field[Any]") -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _unknown(title: str, name: str, known: list[str]) -> str:
    if not known:
        return f"{title} has no settings; found {name!r}"
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{title} has no setting {name!r}; {hint}it has {', '.join(known)}"


def _convert(title: str, name: str, text: str, kind: Any) -> object:
    try:
        value: object = msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        msg = f"{title}: {name} cannot be {text[:60]!r}: {error}"
        raise UsageError(msg, name, text) from error
    if isinstance(value, float | Decimal) and not isfinite(value):
        msg = f"{title}: {name} is a finite number; found {text[:60]!r}"
        raise UsageError(msg, name, text)
    return value
