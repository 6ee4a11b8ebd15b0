"""Answer `GET /status`: what reading and writing costs, and the memory of page and run.

The run says its part in its status; this process measures its own. Nothing is measured for it: a
few clock readings a file that was read anyway.
"""

from __future__ import annotations

import time
from typing import Any

import orjson
from flask import Flask, Response

from orderflow.meter import memory_document
from page.files import PageFiles
from page.flow import FlowFiles
from page.sections import Sections


def add_monitor_route(server: Flask, files: PageFiles, flow: FlowFiles, sections: Sections) -> None:
    """Serve `GET /status`."""
    began = time.monotonic()

    def state() -> dict[str, Any]:
        data = sections.data
        status = data.status.content if data else None
        return {
            "page": {
                "seconds": round(time.monotonic() - began, 1),
                "files": files.monitoring() | flow.monitoring(),
                "memory": memory_document(),
            },
            "run": status.monitoring if status else None,
        }

    @server.get("/status")
    def status() -> Response:
        answer = Response(orjson.dumps(state()), content_type="application/json")
        answer.cache_control.no_store = True
        return answer
