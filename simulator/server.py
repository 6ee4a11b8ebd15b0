"""Serve a publisher over HTTP and WebSocket on one port."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import orjson
from aiohttp import http_exceptions, web

from orderflow.errors import ListenError, PortTakenError, UsageError
from simulator.ndjson import Replay
from simulator.publisher import Publisher

logger = logging.getLogger(__name__)

OWN_NAMES = (".okx.com", ".binance.com", ".kraken.com")
"""Hosts that a desk may let point here, so that a program need not be told another address."""
REQUEST_SECONDS = 10.0
"""A connection that has made no request for so long is closed."""
_CLOSING_SECONDS = 1.0
_BACKLOG = 1024
_SILENT: web.AppKey[dict[asyncio.BaseProtocol, asyncio.TimerHandle]] = web.AppKey("silent")
"""The connections that have made no request yet, and when they are closed."""


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what `--tls-cert` and `--tls-key` ask for; raise `UsageError` for half of it."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        msg = "--tls-cert and --tls-key go together; found one of them"
        raise UsageError(msg)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        msg = f"{certificate} and {key} are no certificate with its key: {error}"
        raise UsageError(msg) from error
    return context


def build_app(publisher: Publisher, hosts: tuple[str, ...] = ()) -> web.Application:
    """Return the application: the venue's paths, `/status` and `/replay`."""
    replay = Replay(publisher.store)

    async def status(_request: web.Request) -> web.Response:
        said = {**publisher.status(), "replay": dict(replay.counts)}
        body = orjson.dumps(said, option=orjson.OPT_INDENT_2)
        return web.Response(body=body, content_type="application/json")

    app = web.Application(middlewares=[_only_for(hosts)])
    app[_SILENT] = {}
    app.add_routes([web.get("/status", status), *publisher.venue.routes()])
    replay.add_to(app)
    return app


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _only_for(hosts: tuple[str, ...]) -> Any:
    """Answer requests that were meant for this server, and no page that was led here by its DNS."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if timer := request.app[_SILENT].pop(request.protocol, None):
            timer.cancel()
        if not _is_ours(request.host, hosts):
            text = f"this server is not {request.host[:100]!r}; --allow-host lets it be\n"
            return web.Response(status=421, text=text)
        return await handler(request)

    return check


def _is_ours(host: str, hosts: tuple[str, ...]) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name in {"localhost", *hosts} or name.endswith(OWN_NAMES):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@contextlib.asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Listen while the context lasts, and give the port, which is chosen where `port` is 0.

    Raise `PortTakenError` or `ListenError`.
    """
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=_CLOSING_SECONDS, logger=_quiet_logger()
    )
    await runner.setup()
    loop = asyncio.get_running_loop()
    try:
        try:
            server = await loop.create_server(
                lambda: _watched(runner, app[_SILENT]), host, port, ssl=tls, backlog=_BACKLOG
            )
        except OSError as error:
            raise _not_listening(error, host, port) from error
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
    finally:
        await runner.cleanup()


def _watched(
    runner: web.AppRunner, silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle]
) -> asyncio.BaseProtocol:
    """Return the protocol of a new connection, closed if no request comes of it."""
    protocol = cast("web.Server", runner.server)()

    def close() -> None:
        del silent[protocol]
        if protocol.transport is not None:
            protocol.transport.close()

    silent[protocol] = asyncio.get_running_loop().call_later(REQUEST_SECONDS, close)
    return protocol


class _OneLine(logging.Filter):
    """Let what clients send wrong be a line of no weight; a bug keeps its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, http_exceptions.HttpProcessingError | ConnectionError):
            logger.info("a request is refused: %s", str(error)[:200].replace("\n", " "))
            return False
        return True


def _quiet_logger() -> logging.Logger:
    found = logging.getLogger("simulator.http")
    if not found.filters:
        found.addFilter(_OneLine())
    return found


def _not_listening(error: OSError, host: str, port: int) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        msg = f"port {port} of {host} is taken; --port names another one, and 0 takes a free one"
        return PortTakenError(msg, host, port)
    msg = f"can't listen on {host}, port {port}: {error.strerror or error}"
    return ListenError(msg, host, port)


class Server:
    """A publisher on a port, from `run` to `stop`."""

    def __init__(
        self,
        publisher: Publisher,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        hosts: tuple[str, ...] = (),
    ) -> None:
        self.publisher = publisher
        self.host, self.port = host, port
        self._tls, self._hosts = tls, hosts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End `run`; from another thread or a signal handler too."""
        self._stopped.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def run(self, ready: Callable[[str, int], None]) -> None:
        """Serve until `stop`, then close all clients; `ready` is given host and port.

        Raise `PortTakenError` or `ListenError`.
        """
        self._loop = asyncio.get_running_loop()
        app = build_app(self.publisher, self._hosts)
        async with serving(app, self.host, self.port, self._tls) as port:
            ready(self.host, port)
            publishing = asyncio.ensure_future(self.publisher.run())
            stopping = asyncio.ensure_future(self._stopped.wait())
            try:
                await asyncio.wait({publishing, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if publishing.done():
                    publishing.result()
            finally:
                publishing.cancel()
                stopping.cancel()
                self.publisher.venue.goodbye()
                self.publisher.venue.hub.close_all("the simulator has been stopped", "stopped")
                await asyncio.sleep(0)
