"""Instruments: which names are allowed, and which are close to one that was typed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from orderflow.errors import UsageError

_ALLOWED = re.compile(r"[A-Za-z0-9._-]+")


def check_instrument(instrument: str) -> None:
    """Raise `UsageError` unless `instrument` can be a name: no path and no pattern gets through."""
    if not _ALLOWED.fullmatch(instrument) or not instrument.strip("."):
        msg = (
            "an instrument has only letters, digits, '-', '_' and '.', such as BTC-USDT; "
            f"found {instrument!r}"
        )
        raise UsageError(msg, "INSTRUMENT", instrument)


def nearest_first(name: str, names: Iterable[str]) -> list[str]:
    """Return `names`, those most similar to `name` first, ignoring upper and lower case."""
    wanted = name.upper()
    return sorted(names, key=lambda n: -SequenceMatcher(None, wanted, n.upper()).ratio())


_PART_OF_NAME = re.compile(r"[A-Za-z0-9]+")
_KINDS = (
    ("option", re.compile(r"\d{6}-[0-9.]+-[CP]")),
    ("futures", re.compile(r"\d{6}")),
    ("swap", re.compile("SWAP")),
)
_TICK = re.compile(r"(?=.*[1-9])\d{1,30}(?:\.\d{1,18})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument by OKX's naming (`BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-220527`) and its steps.

    `tick` and `lot` are the steps of price and size in plain decimals. `contract_value` is what
    one contract stands for, in base currency where it is linear and in quote currency where not,
    `1` on spot, where sizes are in base currency.
    """

    name: str
    tick: str
    lot: str
    contract_value: str = "1"

    def __post_init__(self) -> None:
        check_instrument(self.name)
        for what, text in (
            ("tick", self.tick),
            ("lot", self.lot),
            ("contract value", self.contract_value),
        ):
            _check_step(what, self.name, text)
        if len(self.name.split("-", 2)) < 2 or not self.kind:
            msg = f"a name is BASE-QUOTE, BASE-QUOTE-SWAP or with a date; found {self.name!r}"
            raise UsageError(msg)

    @property
    def base(self) -> str:
        """Return the currency that is bought and sold."""
        return self.name.split("-")[0]

    @property
    def quote(self) -> str:
        """Return the currency of the price."""
        return self.name.split("-")[1]

    @property
    def kind(self) -> str:
        """Return spot, swap, futures or option; empty for a name of none of these forms."""
        parts = self.name.split("-", 2)
        if not all(_PART_OF_NAME.fullmatch(part) for part in parts[:2]):
            return ""
        if len(parts) == 2:
            return "spot"
        return next((kind for kind, form in _KINDS if form.fullmatch(parts[2])), "")

    @property
    def linear(self) -> bool:
        """Return whether it is settled in quote currency; OKX's `-USD-` is settled in the coin."""
        return self.kind == "spot" or self.quote != "USD"


def _check_step(what: str, name: str, text: str) -> None:
    if not _TICK.fullmatch(text):
        msg = f"the {what} of {name} must be a decimal above 0, such as 0.01; found {text!r}"
        raise UsageError(msg)


def parse_contract_values(texts: Iterable[str], *, any_name: bool = False) -> dict[str, str]:
    """Return contract values by instrument, of texts like BTC-USDT-SWAP=0.01.

    With `any_name`, the instrument may be called as on any exchange, else as on OKX. Raise
    `UsageError` for anything else.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            msg = f"--contract-value is NAME=N, such as BTC-USDT-SWAP=0.01; found {text!r}"
            raise UsageError(msg, "--contract-value", text)
        if any_name:
            check_instrument(name)
            _check_step("contract value", name, value)
        else:
            Instrument(name, "1", "1", value)
        values[name] = value
    return values
