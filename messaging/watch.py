"""Look for new data when a notice says so, and at least once a polling interval."""

from collections.abc import Awaitable, Callable
from typing import Any

from messaging.notification import Listener

POLLING, FAST_CHECK, SLOW_CHECK, PROCESS_DATA = "Polling", "FastCheck", "SlowCheck", "ProcessData"
POLL_SECONDS = 1.0


class Watch:
    """The states of a reader: Polling, FastCheck after a notice, SlowCheck after the interval.

    A check that finds data leads to ProcessData, and that back to Polling. Notices missing, a
    reader is behind by `poll_seconds` at most. `state` is the present one, the counts those of
    `status()`.
    """

    def __init__(self, listener: Listener, poll_seconds: float = POLL_SECONDS) -> None:
        self._listener = listener
        self._poll_seconds = poll_seconds
        self.state = POLLING
        self.fast_checks = 0
        self.slow_checks = 0
        self.empty_fast_checks = 0
        """Notices, joined or late ones too, that found nothing new."""

    async def run(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Call `look` for ever: at once, after each notice, and after each polling interval.

        `look` takes a piece of what is new and returns whether there was one; it is called again
        until there is none. What it raises ends the watch.
        """
        noticed = False
        while True:
            await self._check(look, noticed=noticed)
            self.state = POLLING
            noticed = await self._listener.wait(self._poll_seconds)

    async def _check(self, look: Callable[[], Awaitable[bool]], *, noticed: bool) -> None:
        self.state = FAST_CHECK if noticed else SLOW_CHECK
        found = await look()
        self.fast_checks += noticed
        self.slow_checks += not noticed
        self.empty_fast_checks += noticed and not found
        while found:
            self.state = PROCESS_DATA
            found = await look()

    def status(self) -> dict[str, Any]:
        """Return state, interval and counts, for people who ask how a reader is doing."""
        return {
            "state": self.state,
            "poll_seconds": self._poll_seconds,
            "fast_checks": self.fast_checks,
            "slow_checks": self.slow_checks,
            "empty_fast_checks": self.empty_fast_checks,
        }
