"""What `--fault` may ask for: a kind, and when, how much or how often."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from orderflow.errors import UsageError
from orderflow.times import parse_moment

TIMED = ("gap", "bad-checksum", "disconnect", "reset")
SHARED = ("duplicate", "reorder")
WAITS = ("delay", "slow-ack")
DEFAULT_SHARE = 0.1
DEFAULT_PER_MINUTE = 1.0
MOST_MS = 600_000
FORMS = (
    "gap@T, bad-checksum@T, disconnect@T, reset@T (T is a time, +SECONDS or #ROW), delay:MS, "
    "slow-ack:MS, duplicate[:SHARE], reorder[:SHARE], random:SEED[:PER_MINUTE]"
)
WITHOUT_IDS = frozenset({"kraken"})
WITHOUT_CHECKSUMS = frozenset({"binance", "binance-usdm"})
_MINUTE_MS = 60_000


class Moment(NamedTuple):
    """When a fault is due: `unit` is `ms` (of the stream), `after` (ms) or `seq` (of a row)."""

    unit: str
    value: int


class TimedFault(NamedTuple):
    """A fault of one moment; `asked` is what was typed, `drawn` whether a seed has chosen it."""

    kind: str
    asked: str
    moment: Moment
    drawn: bool = False


class Draw(NamedTuple):
    """Faults drawn from a seed."""

    asked: str
    seed: str
    per_minute: float
    kinds: tuple[str, ...]

    def faults_of(self, minute: int) -> Iterator[TimedFault]:
        """Yield the faults of a minute of the stream, whose times are ms since the epoch.

        A minute has the same ones whenever it is asked for, so that a publisher that is started
        again, or another one, has them where the first had.
        """
        random = Random(f"{self.seed} {minute}")  # noqa: S311 (to be had again, not to be secret)
        at = 0.0
        while True:
            at += random.expovariate(self.per_minute) * _MINUTE_MS
            if at >= _MINUTE_MS:
                return
            moment = Moment("ms", minute * _MINUTE_MS + int(at))
            yield TimedFault(random.choice(self.kinds), self.asked, moment, drawn=True)


@dataclass
class Asked:
    """All that was asked for, by kind; `texts` as typed."""

    texts: list[str] = field(default_factory=list)
    timed: list[TimedFault] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    waits_ms: dict[str, float] = field(default_factory=dict)
    draw: Draw | None = None


def parse_faults(texts: Iterable[str], exchange: str, *, checksums: bool) -> Asked:
    """Return what `--fault` asks of an exchange; `checksums` says whether its own mean anything.

    Raise `UsageError` for what is no fault, and for one that the exchange can't have.
    """
    asked = Asked()
    for text in texts:
        asked.texts.append(text)
        kind, mark, rest = _split(text)
        if mark == "@" and kind in TIMED:
            if why := _impossible(kind, exchange):
                raise _refusal(text, why)
            asked.timed.append(TimedFault(kind, text, _moment(text, rest)))
        elif kind in SHARED and mark != "@":
            asked.shares[kind] = _number(text, rest, 1.0) if mark else DEFAULT_SHARE
        elif kind in WAITS and mark == ":":
            asked.waits_ms[kind] = _number(text, rest, MOST_MS)
        elif kind == "random" and mark == ":":
            asked.draw = _draw(text, rest, exchange, checksums=checksums)
        else:
            raise _refusal(text, f"the faults are {FORMS}")
    return asked


def _split(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([a-z-]+)(?:([@:])(.*))?", text)
    return (found[1], found[2] or "", found[3] or "") if found else ("", "", "")


def _moment(text: str, when: str) -> Moment:
    if when.startswith("#"):
        if not (when[1:].isascii() and when[1:].isdigit()):
            raise _refusal(text, f"# is followed by the number of a row; found {when!r}")
        return Moment("seq", int(when[1:]))
    if when.startswith("+"):
        return Moment("after", int(1000 * _number(text, when[1:], 1e9)))
    return Moment("ms", parse_moment(f"--fault {text}:", when))


def _number(text: str, number: str, most: float) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise _refusal(text, f"a number from 0 to {most:,.0f} is wanted; found {number!r}")
    return value


def _draw(text: str, rest: str, exchange: str, *, checksums: bool) -> Draw:
    seed, _, often = rest.partition(":")
    per_minute = _number(text, often, 600) if often else DEFAULT_PER_MINUTE
    if not seed or not per_minute:
        raise _refusal(text, "random:SEED[:PER_MINUTE] has a seed and a rate above 0")
    left_out = () if checksums else ("bad-checksum",)
    kinds = [kind for kind in TIMED if not _impossible(kind, exchange) and kind not in left_out]
    return Draw(text, seed, per_minute, tuple(kinds))


def _impossible(kind: str, exchange: str) -> str | None:
    if kind == "reset" and exchange in WITHOUT_IDS:
        return f"{exchange}'s books have no ids that could begin anew"
    if kind == "bad-checksum" and exchange in WITHOUT_CHECKSUMS:
        return f"{exchange} sends no checksums"
    return None


def _refusal(text: str, why: str) -> UsageError:
    return UsageError(f"--fault {text!r}: {why}", "--fault", text)
