"""Notices through Redis: PUBLISH and SUBSCRIBE on one channel of a server that runs anyway."""

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from messaging.notification import CHECK_SECONDS

NAME = "orderflow.notices"
TIMEOUT_SECONDS = 1.0
"""A server that does not answer for so long counts as gone."""
DRAIN_MESSAGES = 1000
"""At most so many notices are joined into one: a flood must not keep the first one back."""


class RedisChannel:
    """Notices through the server at `url`: redis://HOST:PORT, rediss://…, or unix:///SOCKET.

    Raise `ValueError` for another URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "unix" and (parts.hostname or not parts.path):
            # redis-py would take the first folder of the path for a host, and leave it out.
            msg = f"the path of a unix socket begins with a slash: unix:///PATH; found {url!r}"
            raise ValueError(msg)
        # What fails is tried again by Notifier and Listener, and by nobody else.
        self._redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._subscription: PubSub | None = None

    def publish(self) -> None:
        """Send a notice, and wait for the server's answer."""
        self._redis.publish(NAME, b"")

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        """Subscribe, and take what comes."""
        subscription: PubSub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._subscription = subscription
        subscription.subscribe(NAME)  # type: ignore[no-untyped-call]
        while not closing.is_set():
            if subscription.get_message(timeout=CHECK_SECONDS):
                for _ in range(DRAIN_MESSAGES):
                    if not subscription.get_message(timeout=0.0):
                        break
                notice()

    def close(self) -> None:
        """Close the connections."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        self._redis.close()
