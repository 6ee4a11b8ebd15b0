"""Serve bars of any part of the run: `GET /range?from=…&to=…&most=…`, behind the Host check."""

from __future__ import annotations

from flask import Flask, Response, request

from page.bar_range import BarRanges, BusyError, Question
from page.flow_routes import as_binary, refusal
from page.sections import Sections
from viz_io import MAX_BARS

LATEST_MS = 10**14


def add_range_route(server: Flask, ranges: BarRanges, sections: Sections) -> None:
    """Serve `GET /range`.

    204: the run has no files of all bars; 202: too many ask, come again in a moment.
    """

    @server.get("/range")
    def bars() -> Response:
        low, high = (_number(request.args.get(name), LATEST_MS) for name in ("from", "to"))
        most = _number(request.args.get("most", str(MAX_BARS)), MAX_BARS)
        if low is None or high is None or not most or low >= high:
            why = f"'from' and 'to' are times in ms, in order, 'most' is 1 to {MAX_BARS:,}"
            return refusal(400, why)
        sections.newest()  # who asks need not have polled the page before
        try:
            answer = ranges.answer(Question(low, high, most), sections.data)
        except BusyError:  # no error to a browser, which would complain of it in its console
            return refusal(202, "others are being answered; ask again in a moment")
        return Response(status=204) if answer is None else as_binary(answer)


def _number(text: str | None, most: int) -> int | None:
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 17):
        return None
    return int(text) if int(text) <= most else None
