"""Answer `GET /book`: the book of the run shown at a moment.

The page knows files alone; what knows recordings is a process of its own, `uv run -m recordings
moments`, started at the first question and asked through a pipe. So a poll never waits for a book.
"""

from __future__ import annotations

import logging
import os
import re
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, request

from page.contents import Status
from page.run_status import RunStatus

log = logging.getLogger("page")

PROJECT = Path(__file__).resolve().parents[1]
BOUNDS = {"time": (0, 10**14), "row": (0, 10**14), "levels": (1, 10_000), "trades": (0, 1_000)}
ANSWER_SECONDS = 20.0
"""A process that has not answered by then is ended."""
WAIT_SECONDS = 2.0
"""So long a question waits for the one before it."""
MOST_WAITING = 2
"""Of the threads that serve the page, no more are kept waiting for books."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)

Answer = tuple[int, dict[str, Any]]


class NoAnswerError(Exception):
    """Report that the process for moments has ended, or does not answer."""


class MomentProcess:
    """A process that serves moments of one run; it ends when its standard input does."""

    def __init__(self, command: list[str]) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own)
                command,
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise NoAnswerError(error.strerror) from error
        self._rest = b""

    def ask(self, question: dict[str, int]) -> dict[str, Any]:
        """Return the answer to a question. Raise `NoAnswerError` when there is none in time."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise NoAnswerError
        try:
            stdin.write(orjson.dumps(question) + b"\n")
            stdin.flush()
            line = self._read_line(stdout.fileno(), time.monotonic() + ANSWER_SECONDS)
            answer: dict[str, Any] = orjson.loads(line)
        except (OSError, orjson.JSONDecodeError) as error:
            raise NoAnswerError(str(error)) from error
        return answer

    def _read_line(self, descriptor: int, deadline: float) -> bytes:
        found = [self._rest]
        size = len(self._rest)
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in found[-1]:
                if not selector.select(deadline - time.monotonic()):
                    msg = f"no answer within {ANSWER_SECONDS:g} s"
                    raise NoAnswerError(msg)
                found.append(os.read(descriptor, 1 << 16))
                size += len(found[-1])
                if not found[-1] or size > MAX_ANSWER_BYTES:
                    msg = "it has ended" if not found[-1] else "its answer is too long"
                    raise NoAnswerError(msg)
        line, _, self._rest = b"".join(found).partition(b"\n")
        return line

    def close(self) -> None:
        """End the process, at once."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:  # what was not yet written goes nowhere
                    continue
        self._process.wait()


class BookRoute:
    """Ask for moments of the run whose status is in `status`."""

    def __init__(self, status: RunStatus) -> None:
        self._status = status
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._process: MomentProcess | None = None
        self._command: list[str] = []

    def answer(self, parameters: Mapping[str, str]) -> Answer:
        """Return status code and body for the parameters of a request."""
        question = parse_question(parameters)
        if question is None:
            return 400, {"error": "ask for time=MS or row=N, levels=1…10000 and trades=0…1000"}
        run = self._status.newest()
        if run is None or None in (run.instrument, run.data_dir, run.start, run.end):
            return 404, {"error": "there is no run whose recording is known"}
        if not self._waiting.acquire(blocking=False):
            return 503, {"error": "busy with other moments; ask again"}
        try:
            if not self._lock.acquire(timeout=WAIT_SECONDS):
                return 503, {"error": "busy with another moment; ask again"}
            try:
                return self._ask(run, question)
            finally:
                self._lock.release()
        finally:
            self._waiting.release()

    def _ask(self, run: Status, question: dict[str, int]) -> Answer:
        command = command_for(run)
        if self._process is not None and command != self._command:
            self._end()
        try:
            if self._process is None:
                self._process, self._command = MomentProcess(command), command
            answer = self._process.ask(question)
        except NoAnswerError as error:
            log.warning("the process for moments of the book: %s", error or "it has ended")
            self._end()
            return 503, {"error": "the process for moments has ended; ask again"}
        return int(answer.pop("status")), answer

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


def command_for(run: Status) -> list[str]:
    """Return the command that serves moments of a run."""
    command = [sys.executable, "-m", "recordings", "moments"]
    command += ["--data-dir", str(run.data_dir), "--book-mode", run.asked_book_mode or "auto"]
    command += [f"--file={path}" for path in run.files]
    command += ["--uncross"] if run.uncross else []
    command += ["--growing"] if run.follow and run.state == "running" else []
    return [*command, "--", str(run.instrument), str(run.start), str(run.end)]


def parse_question(parameters: Mapping[str, str]) -> dict[str, int] | None:
    """Return the numbers asked for; None where they are not what a moment is asked for by."""
    if ("time" in parameters) == ("row" in parameters):
        return None
    question: dict[str, int] = {}
    for name, text in parameters.items():
        if name not in BOUNDS or not _NUMBER.fullmatch(text):
            return None
        low, high = BOUNDS[name]
        question[name] = int(text)
        if not low <= question[name] <= high:
            return None
    return question


def as_response(answer: Answer) -> Response:
    """Return an answer as JSON that nobody keeps."""
    code, body = answer
    response = Response(orjson.dumps(body), code, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if code in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def add_book_route(server: Flask, status: RunStatus) -> None:
    """Serve `GET /book`."""
    route = BookRoute(status)

    @server.get("/book")
    def book() -> Response:
        return as_response(route.answer(request.args))
