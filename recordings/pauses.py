"""How long to wait before the next connection or request: backing off, and an exchange's limits."""

from collections import deque
from random import Random

FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0
HEALTHY_SECONDS = 60.0


class Backoff:
    """The wait before each further try: doubled each time, and never quite the same."""

    def __init__(self, random: Random, first: float = FIRST_SECONDS) -> None:
        self._random = random
        self._first = self._next = first

    def succeeded(self, seconds: float) -> None:
        """Begin anew after a connection that was well for `HEALTHY_SECONDS`."""
        if seconds >= HEALTHY_SECONDS:
            self._next = self._first

    def wait(self) -> float:
        """Return how many seconds to wait now: three quarters of the step to all of it."""
        step, self._next = self._next, min(2 * self._next, MOST_SECONDS)
        return step * self._random.uniform(0.75, 1.0)


class RateLimit:
    """At most `count` of something in any `seconds`, on the clock that `now` is of."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=count)

    def take(self, now: float) -> float:
        """Return how many seconds to wait first; the next one counts as done then."""
        full = len(self._times) == self._times.maxlen
        at = max(now, self._times[0] + self._seconds) if full else now
        self._times.append(at)
        return at - now
