"""Serve the order-flow files: `GET /flow/<name>?run=…&after=…`, behind the page's Host check."""

from __future__ import annotations

import gzip
from html import unescape
from typing import Any

import orjson
from flask import Flask, Response, request

from orderflow.issues import HARMLESS
from page.contents import Depth, Issues, Metrics
from page.flow import PATHS, FlowFiles
from page.marks import describe_span
from page.sections import Sections
from page.trading_contents import Trading

# Below it compressing costs more than it saves; two new columns of a heatmap are above it.
LEAST_COMPRESSED_BYTES = 2 * 1024
MAX_RUN = 200
BEFORE_ALL = -1


def register(server: Flask, flow: FlowFiles, sections: Sections) -> None:
    """Add the routes of the order-flow views to `server`.

    A file that is not there is answered by 204; names, numbers and texts that are none of the
    page's own get 400 or 404 in a line.
    """

    @server.get("/flow/<name>")
    def answer(name: str) -> Response:
        data = sections.data
        if name == "depth":
            return _json(_depth(data.depth.content if data else None))
        if name == "trading":
            return _json(_trading(data.trading_run if data else None))
        if name == "issues":
            return _json(_issues(data.issues.content if data else None))
        run, after = request.args.get("run", ""), _number(request.args.get("after"))
        if after is None or len(run) > MAX_RUN:
            return refusal(400, "'after' is a whole number, 'run' what an answer named")
        metrics = data.metrics.content if data else None
        if name not in PATHS:
            return refusal(404, "there is no such file")
        news = flow.news(name, run, after, metrics or Metrics())
        # Not 404: browsers complain of it in their console, and a file may go at any moment.
        return Response(status=204) if news is None else as_binary(news)


def _number(text: str | None) -> int | None:
    """Return the number, `BEFORE_ALL` where none was sent, None for what is none."""
    if text is None or text == str(BEFORE_ALL):
        return BEFORE_ALL
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else None


def refusal(code: int, why: str) -> Response:
    """Return an answer of one line that says what is wrong with a question."""
    return Response(f"{code}: {why}\n", code, content_type="text/plain")


def _json(value: Any) -> Response:
    return _packed(orjson.dumps(value), "application/json")


def as_binary(body: bytes) -> Response:
    """Return bytes as an answer, compressed where that gains anything."""
    return _packed(body, "application/octet-stream")


def _packed(body: bytes, content_type: str) -> Response:
    """Return an answer that no cache keeps, compressed where that pays and the browser reads it."""
    packs = len(body) >= LEAST_COMPRESSED_BYTES and request.accept_encodings.quality("gzip") > 0
    answer = Response(gzip.compress(body, 1, mtime=0) if packs else body, content_type=content_type)
    if packs:
        answer.content_encoding = "gzip"
    answer.cache_control.no_store = True
    return answer


def _depth(depth: Depth | None) -> dict[str, Any]:
    depth = depth or Depth()
    return {"bids": depth.bids, "asks": depth.asks}


def _issues(issues: Issues | None) -> dict[str, Any]:
    """Return the spans of known time with what is said of them; no markup is in the words."""
    return {
        "issues": [
            {
                "start": issue.start,
                "end": issue.end,
                "text": unescape(describe_span(issue, issue.start)),
                "harmless": issue.kind in HARMLESS,
            }
            for issue in (issues or Issues()).spans
            if issue.start is not None and issue.end is not None
        ]
    }


def _trading(run: Trading | None) -> dict[str, Any]:
    """Return the fills and alerts of a trading run, in the order in which they came."""
    return {
        "fills": [
            {
                "time": fill.time,
                "bought": fill.side == "buy",
                "price": fill.price,
                "quantity": fill.quantity,
                "maker": fill.maker,
                "fee": fill.fee,
                "strategy": fill.strategy,
            }
            for fill in (run.fills if run else ())
        ],
        "alerts": [
            {"time": alert.time, "strategy": alert.strategy, "text": alert.text}
            for alert in (run.alerts if run else ())
        ],
    }
