"""Serve several runs as one page: each a page of its own under its own path, and a list of them.

The first run is at `/`, the others at `/run/2/`, `/run/3/` and so on. All a browser asks for is
relative to its page, which learns of the other runs from `GET /runs` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import orjson
from flask import Flask, Response
from werkzeug.exceptions import NotFound

from page.run_status import RunStatus

MAX_RUNS = 20


@dataclass(frozen=True)
class ShownRun:
    """Hold where a run's page is and the directory of its files."""

    path: str
    directory: Path


def shown_runs(directories: Sequence[Path]) -> list[ShownRun]:
    """Return the runs with the paths of their pages, in the order given."""
    paths = ["/", *(f"/run/{number}/" for number in range(2, len(directories) + 1))]
    return [ShownRun(path, found) for path, found in zip(paths, directories, strict=True)]


def add_runs_route(server: Flask, runs: Iterable[ShownRun]) -> None:
    """Serve `GET /runs`: where the pages of all runs are, and what each of them shows."""
    watched = [(run, RunStatus(run.directory)) for run in runs]

    @server.get("/runs")
    def list_runs() -> Response:
        answer = Response(orjson.dumps(_told(watched)), content_type="application/json")
        answer.cache_control.no_store = True
        return answer


def _told(watched: list[tuple[ShownRun, RunStatus]]) -> list[dict[str, str | None]]:
    told = []
    for run, file in watched:
        status = file.newest()
        told.append(
            {
                "path": run.path,
                "directory": run.directory.name,
                "instrument": status.instrument if status else None,
                "state": status.state if status else None,
            }
        )
    return told


def dispatch(pages: Sequence[tuple[str, WSGIApplication]]) -> WSGIApplication:
    """Return one application of several by path; the one at `/` answers for all other paths."""
    others = [(path.rstrip("/"), page) for path, page in pages if path != "/"]
    [first] = [page for path, page in pages if path == "/"]

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = environ.get("PATH_INFO", "")
        for prefix, page in others:
            if asked.startswith(f"{prefix}/"):
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = asked.removeprefix(prefix)
                return page(environ, start_response)
        if asked.startswith("/run/"):
            return NotFound()(environ, start_response)
        return first(environ, start_response)

    return answer
