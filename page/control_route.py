"""Answer `GET /control` and `POST /control`: pause, step, speed and seek of a running replay.

This is the one place where the page writes a file: orders to the replay, which it takes or leaves.
Who may ask: a page of this server alone, as its own content type and Origin show, which no other
site can send without being asked first; and off this machine only where that was allowed.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import orjson
from flask import Flask, Request, Response, request

from orderflow.atomic import replace_file
from orderflow.speeds import is_speed
from page.book_route import Answer, as_response
from page.contents import Status
from page.run_status import RunStatus
from viz_io import CONTROL_FILE

log = logging.getLogger("page")

CONTENT_TYPE = "application/vnd.orderflow.control+json"
MAX_BODY_BYTES = 1024
ORDERS_PER_SECOND, MOST_AT_ONCE = 20.0, 40.0
MOST_WAITING = 64
"""Orders that the run has not taken yet."""


class ControlRoute:
    """Hand orders to the run whose status is in `status`; `allowed` says whether pages may."""

    def __init__(self, status: RunStatus, *, allowed: bool) -> None:
        self._status = status
        self._allowed = allowed
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._waiting: list[dict[str, Any]] = []
        self._numbered = 0
        self._tokens, self._counted = MOST_AT_ONCE, time.monotonic()

    def state(self) -> Answer:
        """Return what can be ordered, and how far the run has come."""
        obeying = self._status.obeying()
        run = obeying or self._status.newest()
        return 200, {
            "obeys": obeying is not None,
            "allowed": self._allowed,
            "paused": run.paused if run else None,
            "speed": run.speed if run else None,
            "seeking": run.seeking if run else None,
            "control": run.control if run else None,
            "state": run.state if run else None,
            "event_time": run.event_time if run else None,
        }

    def order(self, asked: Request) -> Answer:
        """Hand on the order of a request, if it is one and may be given."""
        if not (self._allowed and is_own(asked)):
            why = "only pages of this server may order"
            if not self._allowed:
                why = "not allowed from here; app.py --allow-control allows it"
            return 403, {"error": why}
        if (asked.content_length or 0) > MAX_BODY_BYTES:
            return 413, {"error": f"an order has at most {MAX_BODY_BYTES} bytes"}
        with self._lock:
            if not self._may_ask():
                return 429, {"error": f"at most {ORDERS_PER_SECOND:g} orders a second"}
            run = self._status.obeying()
            if run is None:
                return 409, {"error": "there is no run that obeys"}
            body = asked.get_data()
            if len(body) > MAX_BODY_BYTES:  # it did not say how long it is
                return 413, {"error": f"an order has at most {MAX_BODY_BYTES} bytes"}
            return self._hand_on(checked(_json(body), run), run)

    def _may_ask(self) -> bool:
        now = time.monotonic()
        earned = (now - self._counted) * ORDERS_PER_SECOND
        self._tokens, self._counted = min(self._tokens + earned, MOST_AT_ONCE), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _hand_on(self, order: dict[str, Any] | None, run: Status) -> Answer:
        if order is None:
            return 400, {"error": "no such order; see docs/page.md"}
        if run.pid != self._pid:
            self._pid, self._waiting, self._numbered = run.pid, [], 0
        taken = run.control or 0
        waiting = [one for one in self._waiting if one["sequence"] > taken]
        if len(waiting) >= MOST_WAITING:
            return 429, {"error": f"the run has {MOST_WAITING} orders it has not yet taken"}
        number = max(self._numbered, taken) + 1
        waiting.append({"sequence": number, **order})
        document = {"schema": 1, "pid": self._pid, "orders": waiting}
        try:
            path = self._status.directory / CONTROL_FILE.name
            replace_file(path, orjson.dumps(document))
        except OSError as error:
            log.warning("%s cannot be written (%s)", CONTROL_FILE.name, error.strerror)
            return 503, {"error": "the order cannot be handed on; see the page's log"}
        self._waiting, self._numbered = waiting, number
        return 202, {"sequence": number}


def is_own(asked: Request) -> bool:
    """Return whether a page of this very server asks: by content type, Origin and what fetch says.

    A form or a script of another site can send neither this content type nor that Origin.
    """
    host = asked.headers.get("Host", "").lower()
    origin = asked.headers.get("Origin", "").lower()
    return (
        asked.headers.get("Content-Type", "") == CONTENT_TYPE
        and origin in (f"http://{host}", f"https://{host}")
        and asked.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    )


def checked(given: Any, run: Status) -> dict[str, Any] | None:
    """Return an order with what belongs to it alone; None for what is no order of the run."""
    match given:
        case {"do": "pause" | "resume" | "row" | "bar" as do, **rest} if not rest:
            return {"do": do}
        case {"do": "speed", "speed": speed, **rest} if not rest and _is_speed(speed):
            return {"do": "speed", "speed": speed}
        case {"do": "seek", "time": int(ms), **rest} if not rest and not isinstance(ms, bool):
            if run.start is not None and run.end is not None and run.start <= ms < run.end:
                return {"do": "seek", "time": ms}
    return None


def _is_speed(speed: Any) -> bool:
    return speed == "max" or is_speed(speed)


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def add_control_route(server: Flask, status: RunStatus, *, allowed: bool) -> None:
    """Serve `GET /control` and `POST /control`."""
    route = ControlRoute(status, allowed=allowed)

    @server.get("/control")
    def control() -> Response:
        return as_response(route.state())

    @server.post("/control")
    def order() -> Response:
        return as_response(route.order(request))
