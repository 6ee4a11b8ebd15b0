"""The real clients of exchanges that are held to recordings, and how each of them is run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import pytest
from places import PROJECT

SCRIPTS = PROJECT / "tests" / "clients"
needs_clients = pytest.mark.skipif(
    find_spec("ccxt") is None,
    reason="the clients are not installed: uv run --group clients pytest -m thorough tests/clients",
)


@dataclass(frozen=True)
class Client:
    """A client: its script, how it is called, and how its books are held to the recording.

    `symbol` is how it calls an instrument, of `{base}` and `{quote}`. `by_id` says whether a book's
    key is an update id, not a time, `depth` how many levels a side it shows at most; `arguments` go
    to the script. It is followed for `least_books`.
    """

    name: str
    script: str
    argument: str
    symbol: str
    depth: int
    by_id: bool = True
    tls: bool = False
    has_trades: bool = True
    arguments: tuple[str, ...] = ()
    least_books: int = 100

    def command(self, url: str, instrument: str) -> list[str]:
        script = SCRIPTS / f"{self.script}.py"
        base, quote = instrument.split("-")[:2]
        symbol = self.symbol.format(base=base, quote=quote)
        asked = ["--url", url, "--symbol", symbol, *self.arguments]
        return [sys.executable, str(script), self.argument, *asked]


def kraken_clients(*depths: int) -> list[Client]:
    """Return the clients of Kraken, each at the depths given; their books have no ids."""
    return [
        Client(
            f"{name} {depth}", script, "kraken", "{base}/{quote}", depth,
            by_id=False, has_trades=has_trades, arguments=("--depth", str(depth)),
        )
        for depth in depths
        for name, script, has_trades in (
            ("ccxt kraken", "follow_ccxt", True),
            ("python-kraken-sdk", "follow_kraken_sdk", False),
        )
    ]  # fmt: skip


def binance_clients(
    exchange: str,
    symbol: str,
    market: str,
    speeds_ms: Sequence[int] = (100, 1000),
    *,
    least_books_at_1000_ms: int = 20,
) -> list[Client]:
    """Return the clients of Binance, unicorn at each speed.

    They have the best 1,000 levels of its REST to begin with; what lies beyond is not known to them
    until it changes. So the best 50 are compared.
    """
    # Here a stream of 1000 ms has a book a second, however fast the recording goes by.
    least_books = {100: 100, 1000: least_books_at_1000_ms}
    depth = 50
    shown = ("--shown", str(depth))
    unicorns = [
        Client(
            f"unicorn {speed_ms} ms", "follow_unicorn", market, "{base}{quote}", depth,
            has_trades=False, arguments=(*shown, "--speed-ms", str(speed_ms)),
            least_books=least_books[speed_ms],
        )
        for speed_ms in speeds_ms
    ]  # fmt: skip
    ccxt = Client(f"ccxt {exchange}", "follow_ccxt", exchange, symbol, depth, arguments=shown)
    return [ccxt, *unicorns]
