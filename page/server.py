"""Serve the page: who may ask, what the answers forbid a browser, and when the process ends.

`guard` wraps any WSGI application; `serve` runs it on waitress. Nothing here knows the charts.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import orjson
from dash.exceptions import DependencyException
from flask import Flask, Response, request
from waitress.server import create_server
from werkzeug.exceptions import HTTPException

from orderflow.errors import ListenError, PortTakenError

log = logging.getLogger("page")

MAX_BODY_BYTES = 64 * 1024
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# Browsers open up to six connections each and keep them: 100, waitress's default, is 17 browsers.
MAX_CONNECTIONS = 1000
THREADS = 4
SEEN_PATTERN = re.compile(r"[0-9a-f.]{0,100}")


def is_loopback(host: str) -> bool:
    """Return whether `host` is reachable from this machine alone."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """Return the name in a Host header, lower case, without port and brackets.

    `[::1]:8050` gives `::1`; what is no host at all gives itself and matches nothing.
    """
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def allowed_hosts(host: str, extra: Iterable[str]) -> frozenset[str]:
    """Return the names a request may call this server: loopback, `host` itself and `extra`.

    An address that means "all of them" (0.0.0.0, ::) is no name and is left out.
    """
    names = {host_name(name) for name in extra}
    if host not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared with, not bound to
        names.add(host.lower())
    return LOOPBACK_NAMES | names


def exposure_warning(host: str, extra: Iterable[str]) -> str:
    """Return what to tell who listens beyond this machine."""
    names = ", ".join(extra)
    answers = (
        f"It answers to {names} too."
        if names
        else (
            "Browsers elsewhere get 400 until their name for this machine is allowed: "
            "--allow-host NAME."
        )
    )
    return (
        f"Warning: --host {host} shows the page to every machine that reaches this one, without "
        f"a password. {answers}"
    )


def content_policy(script_hashes: Iterable[str]) -> str:
    """Return the Content-Security-Policy: scripts of this server and of `script_hashes` alone.

    Plotly sets inline styles, so styles alone are `unsafe-inline`.
    """
    scripts = " ".join(["'self'", *script_hashes])
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def guard(
    application: WSGIApplication, hosts: frozenset[str], policy: Callable[[], str]
) -> WSGIApplication:
    """Return `application` behind a check of the Host header, with safe headers on its answers.

    A page on another site whose name was rebound to this machine sends its own name as Host, and
    gets 400. `policy` is asked once, at the first page: hashes exist only when the page does.
    """
    policies: list[str] = []

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if host_name(environ.get("HTTP_HOST", "")) not in hosts:
            body = b"400: this name is not served here; see --allow-host\n"
            headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
            start_response("400 Bad Request", headers)
            return [body]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kind = next((value for name, value in headers if name.lower() == "content-type"), "")
            if kind != "application/json":  # a poll's answer: two a second, kept small
                headers = [*headers, ("X-Content-Type-Options", "nosniff")]
            if kind.startswith("text/html"):
                if not policies:
                    policies.append(policy())
                headers += [
                    ("Content-Security-Policy", policies[0]),
                    ("Referrer-Policy", "no-referrer"),
                    ("Cross-Origin-Opener-Policy", "same-origin"),
                ]
            return start_response(status, headers, *rest)

        return application(environ, start)

    return guarded


def end_with_parent() -> None:
    """End this process when its stdin ends, in whatever way the process at the other end died.

    The page holds nothing that has to be saved, so it ends at once, however busy it is.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def serve(application: WSGIApplication, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve `application` until Ctrl+C; call `ready` with the address once it listens.

    Port 0 takes a free one. Raise `ListenError` when the address cannot be listened on.
    """
    # A queue of one request for a millisecond is no news on the terminal.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = create_server(
            application,
            host=host,
            port=port,
            threads=THREADS,
            connection_limit=MAX_CONNECTIONS,
            max_request_body_size=MAX_BODY_BYTES + 1,  # waitress refuses this size itself too
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        kind = PortTakenError if error.errno == errno.EADDRINUSE else ListenError
        raise kind(_why_not_listening(host, port, error), host, port) from error
    except ValueError as error:  # what waitress makes of a name that has no address
        raise ListenError(
            f"--host {host} is no address of this machine; 127.0.0.1 is this machine alone",
            host,
            port,
        ) from error
    # A name with several addresses gives a server of several sockets.
    own = [(host, getattr(server, "effective_port", port))]
    bound = getattr(server, "effective_listen", own)[0][1]
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{bound}")
    server.run()


def _why_not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use, perhaps by another page; "
            f"stop that one or choose another, such as --port {port + 1}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this account; choose one from 1024 up, such as 8050"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"


def is_poll(body: Any) -> bool:
    """Return whether `body`, parsed JSON, is what the page's own poll sends.

    Dash trusts its callers with the shape of a request, and fails in its own code where it is
    another; so nothing else gets there.
    """
    match body:
        case {
            "output": "seen.data",
            "outputs": {"id": "seen", "property": "data"},
            "inputs": [{"id": "poll", "property": "n_intervals", **poll}],
            "state": [{"id": "seen", "property": "data", "value": str(seen)}],
            "changedPropIds": [*changed],
        }:
            count = isinstance(poll.get("value"), (int, type(None)))
            names = all(isinstance(name, str) for name in changed)
            return count and names and SEEN_PATTERN.fullmatch(seen) is not None
    return False


def _json(raw: bytes) -> Any:
    """Return the value of `raw`, None where it is no JSON or nested too deep."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def refuse_malformed(server: Flask) -> None:
    """Let nothing but the page's own polls reach Dash, and no error out but one line."""

    @server.before_request
    def check() -> Response | None:
        if request.path != "/_dash-update-component" or is_poll(_json(request.get_data())):
            return None
        return Response("400: not a poll of this page\n", 400, content_type="text/plain")

    @server.errorhandler(DependencyException)
    def not_served(_: Exception) -> Response:
        return Response("404: Not Found\n", 404, content_type="text/plain")

    @server.errorhandler(Exception)
    def fail(error: Exception) -> Any:
        if isinstance(error, HTTPException):
            return Response(f"{error.code}: {error.name}\n", error.code, content_type="text/plain")
        log.error("answering %s failed", request.path, exc_info=error)
        return Response("500: see the page's log\n", 500, content_type="text/plain")
