"""Make notifiers and listeners of the text of `--notify`; import a library when it is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from messaging.notification import Channel, Listener, Notifier
from orderflow.errors import UsageError

FORMS = (
    "none, file, pipe:DESCRIPTOR, zmq:ipc:///PATH, zmq:tcp://HOST:PORT, redis://HOST:PORT, "
    "redis:unix:///PATH"
)


def _file(argument: str, store: Path) -> Channel:
    from messaging.file_watch import FileChannel  # noqa: PLC0415

    if argument:
        msg = f"file watches the store and takes nothing more; found {argument!r}"
        raise ValueError(msg)
    return FileChannel(store)


def _pipe(argument: str, _store: Path) -> Channel:
    from messaging.pipes import PipeChannel  # noqa: PLC0415

    if not (argument.isascii() and argument.isdigit()):
        msg = "a pipe is known by its descriptor, which `simulator run` hands out"
        raise ValueError(msg)
    return PipeChannel(int(argument))


def _zmq(argument: str, _store: Path) -> Channel:
    from messaging.zmq_channel import ZmqChannel  # noqa: PLC0415

    return ZmqChannel(argument)


def _redis(argument: str, _store: Path) -> Channel:
    from messaging.redis_channel import RedisChannel  # noqa: PLC0415

    return RedisChannel(f"redis:{argument}" if argument.startswith("//") else argument)


KINDS: dict[str, Callable[[str, Path], Channel]] = {
    "file": _file,
    "pipe": _pipe,
    "zmq": _zmq,
    "redis": _redis,
}
"""What stands before the first colon, and makes a channel of what follows and of the store.

It raises `ValueError`, saying why, for what cannot be meant.
"""


def open_notifier(spec: str, store: Path) -> Notifier:
    """Return the writer's side of the notices of `store`; raise `UsageError` for a wrong `spec`."""
    if spec in ("none", "file"):  # the writing itself is seen
        return Notifier()
    return Notifier(_channel(spec, store), spec)


def open_listener(spec: str, store: Path) -> Listener:
    """Return the reader's side of the notices of `store`; raise `UsageError` for a wrong `spec`."""
    return Listener() if spec == "none" else Listener(_channel(spec, store), spec)


def check_spec(spec: str, store: Path) -> None:
    """Raise `UsageError` for what is no way of notices; nothing is opened."""
    if spec != "none":
        _channel(spec, store)


def zmq_endpoint(spec: str) -> str:
    """Return the endpoint in a spec of ZeroMQ; raise `UsageError` for another spec."""
    from messaging.endpoints import check_endpoint  # noqa: PLC0415

    kind, _, endpoint = spec.partition(":")
    try:
        if kind != "zmq":
            msg = "only zmq needs a notifier: zmq:ipc:///PATH or zmq:tcp://HOST:PORT"
            raise ValueError(msg)
        check_endpoint(endpoint)
    except ValueError as error:
        msg = f"{error}; found {spec!r}"
        raise UsageError(msg, "spec", spec) from error
    return endpoint


def _channel(spec: str, store: Path) -> Channel:
    kind, _, argument = spec.partition(":")
    make = KINDS.get(kind)
    if make is None:
        _refuse(spec, "no such way of notices")
    try:
        return make(argument, store)
    except ValueError as error:
        _refuse(spec, str(error), error)


def _refuse(spec: str, reason: str, cause: Exception | None = None) -> NoReturn:
    msg = f"--notify {spec!r}: {reason}; it is one of {FORMS}"
    raise UsageError(msg, "--notify", spec) from cause
