"""How long a recorder waits: backing off, and an exchange's limits."""

from itertools import pairwise
from random import Random

from recordings.pauses import Backoff, RateLimit


def test_each_further_try_waits_twice_as_long_up_to_half_a_minute() -> None:
    backoff = Backoff(Random(1))
    waits = [backoff.wait() for _ in range(10)]
    steps = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert all(0.75 * step <= wait <= step for wait, step in zip(waits, steps, strict=True))
    assert len(set(waits)) == 10


def test_only_a_connection_that_was_well_for_a_minute_begins_the_waits_anew() -> None:
    backoff = Backoff(Random(1))
    for _ in range(4):
        backoff.wait()
    backoff.succeeded(59.9)
    assert backoff.wait() > 5
    backoff.succeeded(60)
    assert backoff.wait() <= 0.5


def test_of_anything_at_most_the_limit_happens_in_any_such_time() -> None:
    limit = RateLimit(3, 1.0)
    random, now, done = Random(7), 100.0, []
    for _ in range(300):
        now += random.choice([0.0, 0.01, 0.4, 3.0])
        now += limit.take(now)
        done.append(now)
    spans = [fourth - first for first, fourth in zip(done, done[3:], strict=False)]
    assert min(spans) >= 1.0 - 1e-9
    assert sum(later == earlier for earlier, later in pairwise(done)) > 20
