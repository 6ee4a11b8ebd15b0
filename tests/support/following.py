"""What holds of every client that follows a recording: a test class for each exchange's clients."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from client_runs import Feed, Seen, Source, following, make_certificate
from real_clients import Client
from recorded_books import Comparison, wrong_trades

JOINS = {"start": 0.0, "middle": 0.5}


@dataclass
class Followed:
    """A recording that all clients of an exchange have followed at once, from `share` of it on."""

    feed: Feed
    share: float
    seen: dict[str, Seen]

    def compare(self, client: Client) -> Comparison:
        return self.feed.compare(self.seen[client.name], client)


def all_follow(
    venue: str, clients: list[Client], run: tuple[Source, str], directory: Path
) -> Followed:
    source, join = run
    feed = Feed(source, directory)
    certificate = make_certificate(directory)
    with following(feed, venue, clients, JOINS[join], certificate=certificate) as live:
        live.wait_for_books()
        return Followed(feed, JOINS[join], live.seen)


def runs(*sources: Source, thorough: bool = True) -> list[object]:
    """Return the parameters of a fixture: each recording, joined at the start and in the middle.

    CI has time for the first recording, joined in the middle; the others are slow, and so are all
    that are not `thorough`.
    """
    *_, middle = JOINS
    return [
        pytest.param(
            (source, join),
            id=f"{source.file}-{join}",
            marks=pytest.mark.thorough
            if thorough and (place, join) == (0, middle)
            else pytest.mark.slow,
        )
        for place, source in enumerate(sources)
        for join in JOINS
    ]


class FollowingTests:
    """To be run with fixtures `followed` and `client`."""

    def test_every_book_is_the_recorded_one_and_none_goes_back(
        self, followed: Followed, client: Client
    ) -> None:
        found = followed.compare(client)
        assert found.wrong[:3] == []
        assert len(set(found.right)) >= client.least_books, followed.seen[client.name].errors[:3]

    def test_the_client_reports_no_error(self, followed: Followed, client: Client) -> None:
        assert followed.seen[client.name].errors[:3] == []

    def test_the_first_book_is_that_of_the_time_of_joining(
        self, followed: Followed, client: Client
    ) -> None:
        rows = len(followed.feed.recorded.times)
        joined = (followed.compare(client).right[0] + 1) / rows
        assert followed.share <= joined < followed.share + 0.5

    def test_trades_are_the_recorded_ones_and_none_is_left_out(
        self, followed: Followed, client: Client
    ) -> None:
        if not client.has_trades:
            pytest.skip(f"{client.name} has books alone")
        trades = followed.seen[client.name].trades
        assert wrong_trades(trades, followed.feed.recorded.trades)[:3] == []
