"""What clients do about faults: those that check recover to the right book, and one is blind."""

from typing import Any

import pytest
from client_runs import Feed, Seen, Source, following, wait_for
from real_clients import Client, binance_clients, kraken_clients, needs_clients
from real_recordings import needs_recordings
from recorded_books import Comparison

pytestmark = [pytest.mark.thorough, needs_clients, needs_recordings]

ELON = Source("okx_v5_202202", "ELON-USDT", 0.8)
ETH = Source("binance_spot_ethusdt_20240808", "ETH-USDT", 4)
SWAP = Source("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", 3)
OKX = Client("ccxt okx", "follow_ccxt", "okx", "{base}/{quote}", 400)
KRAKEN = kraken_clients(10)
SPOT = binance_clients("binance", "{base}/{quote}", "spot", (100,))
USDM = binance_clients("binanceusdm", "{base}/{quote}:{quote}", "usdm", (100,))
# Seconds of the stream from its first row to the fault, in which all clients are in step.
FAULTS = [
    *((f"{kind}@+5", "okx", [OKX], ELON) for kind in ("gap", "disconnect", "reset")),
    *((f"{kind}@+40", "kraken", KRAKEN, ETH) for kind in ("gap", "bad-checksum", "disconnect")),
    *((f"{kind}@+80", "binance", SPOT, ETH) for kind in ("gap", "disconnect", "reset")),
    *((f"{kind}@+60", "binance-usdm", USDM, SWAP) for kind in ("gap", "disconnect", "reset")),
]
BOOKS_AFTER = 100
BLIND_ONE, BLIND = KRAKEN[0], "gap"  # ccxt checks nothing of Kraken's


class Faulty:
    """A fault that has happened, and what the clients have seen before and after."""

    def __init__(self, feed: Feed, fault: dict[str, Any], seen: dict[str, Seen]) -> None:
        self.feed, self.fault, self.seen = feed, fault, seen
        self.kind: str = fault["kind"]
        self.at: float = fault["wall_ms"] / 1000

    def compare(self, client: Client) -> Comparison:
        rows = self.feed.rows_after_reset(self.fault) if self.kind == "reset" else None
        return self.feed.compare(self.seen[client.name], client, rows)


@pytest.fixture(
    scope="module", params=FAULTS, ids=lambda fault: f"{fault[1]}-{fault[0].partition('@')[0]}"
)
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    asked, venue, clients, source = request.param
    feed = Feed(source, tmp_path_factory.mktemp("faults"))
    with following(feed, venue, clients, 0.0, "--fault", asked) as run:
        assert wait_for(lambda: bool(run.faults()))
        (fault,) = run.faults()
        at = fault["wall_ms"] / 1000

        def enough(seen: Seen) -> bool:
            return len([book for book in seen.books if book["at"] > at]) >= BOOKS_AFTER

        run.wait_for_all(enough)
        return Faulty(feed, fault, run.seen)


def clients_of(request: pytest.FixtureRequest) -> list[Client]:
    clients: list[Client] = request.node.callspec.params["faulty"][2]
    return clients


def seconds_to_recover(found: Comparison, faulty: Faulty) -> float | None:
    """Return how long it took from the fault to a book that is past it, all right from there on."""
    first = faulty.feed.row_of(faulty.fault)
    after = [
        (book["at"] - faulty.at, row)
        for book, row in zip(found.books, found.rows, strict=True)
        if book["at"] > faulty.at
    ]
    wrong = [place for place, (_, row) in enumerate(after) if row is None]
    good = after[wrong[-1] + 1 :] if wrong else after
    return next((seconds for seconds, row in good if row is not None and row >= first), None)


def test_every_client_that_checks_recovers_to_the_right_book(
    faulty: Faulty, request: pytest.FixtureRequest, record_property: Any
) -> None:
    for client in clients_of(request):
        if (client, faulty.kind) == (BLIND_ONE, BLIND):
            continue
        found = faulty.compare(client)
        seconds = seconds_to_recover(found, faulty)
        record_property(f"{client.name}, {faulty.kind}", seconds)
        assert seconds is not None, (client.name, found.wrong[-3:])
        before = [book["at"] < faulty.at for book in found.books]
        assert any(before), f"{client.name} had no book when the fault happened"


@pytest.mark.parametrize(
    "faulty", [fault for fault in FAULTS if fault[0].startswith(BLIND) and BLIND_ONE in fault[2]],
    ids=["kraken-gap"], indirect=True,
)  # fmt: skip
def test_ccxt_shows_wrong_books_of_kraken_after_a_gap_without_a_word(faulty: Faulty) -> None:
    assert faulty.compare(BLIND_ONE).wrong
    assert faulty.seen[BLIND_ONE.name].errors == []
