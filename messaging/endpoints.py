"""Where sockets are bound: ipc in a folder of one's own, held by a lock, or tcp.

ZeroMQ lets a second owner take an ipc endpoint from the first one in silence, hence the lock.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import zmq

from orderflow.errors import OrderflowError

MAX_IPC_PATH = 107
"""Bytes that the system allows for the path of a socket, on Linux; macOS 103."""
LOCK_SUFFIX = ".lock"
IPC, TCP = "ipc://", "tcp://"


class EndpointTakenError(OrderflowError):
    """Report an `endpoint` that another process, `pid` where it is known, is bound to."""

    def __init__(self, endpoint: str, pid: str | None = None, owner: str = "program") -> None:
        by = f"{owner}, pid {pid}," if pid else "program"
        super().__init__(
            f"{endpoint}: another {by} is bound to it; use that one, stop it, or name another "
            "endpoint"
        )
        self.endpoint = endpoint
        self.pid = pid


class EndpointError(OrderflowError):
    """Report an `endpoint` that cannot be bound to."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(f"{endpoint}: {reason}")
        self.endpoint = endpoint


def check_endpoint(endpoint: str) -> None:
    """Raise `ValueError` unless it is ipc:///PATH or tcp://HOST:PORT."""
    if not re.fullmatch(r"ipc:///.*[^/]|tcp://[^/]+:\d{1,5}", endpoint):
        msg = f"the endpoint is ipc:///PATH or tcp://HOST:PORT; found {endpoint!r}"
        raise ValueError(msg)
    path = endpoint.removeprefix(IPC)
    if path != endpoint and len(os.fsencode(path)) > MAX_IPC_PATH:
        msg = f"the path of a socket has at most {MAX_IPC_PATH} bytes; found {path!r}"
        raise ValueError(msg)


def stays_here(endpoint: str) -> bool:
    """Return whether nobody on another machine can reach an endpoint: ipc, or tcp on loopback."""
    if not endpoint.startswith(TCP):
        return True
    host = endpoint.removeprefix(TCP).rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(socket: "zmq.Socket[bytes]", endpoint: str) -> None:
    """Bind a socket, whose file others can't open; raise `EndpointTakenError`, `EndpointError`."""
    before = os.umask(0o077)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise EndpointTakenError(endpoint) from error
        raise EndpointError(endpoint, f"cannot be bound to ({error.strerror})") from error
    finally:
        os.umask(before)


@contextlib.contextmanager
def own(endpoint: str, owner: str) -> Iterator[None]:
    """Hold the lock of an ipc endpoint, of which a second owner would take the socket away.

    ZeroMQ removes a socket file that is there before it binds: right for the one that a crash has
    left, and fatal for one in use. The folder is made private: who may write there may do the same.
    `owner` is what a second one is told has the endpoint. End the socket's context within the
    block; at its end the socket's file is removed. Raise `EndpointTakenError` or `EndpointError`.
    """
    if not endpoint.startswith(IPC):
        yield
        return
    path = Path(endpoint.removeprefix(IPC))
    try:
        lock = _take_lock(path, endpoint, owner)
    except OSError as error:
        reason = f"cannot be made ({error.strerror}); name a socket in a directory of your own"
        raise EndpointError(endpoint, reason) from error
    try:
        yield
    finally:
        _release(path, lock)


def _take_lock(path: Path, endpoint: str, owner: str) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason = (
            f"others may write to {path.parent}; name a socket in a directory of your own, one "
            "that is not there yet is made"
        )
        raise EndpointError(endpoint, reason)
    while True:
        lock = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise EndpointTakenError(endpoint, pid, owner) from None
        # The owner before may have removed the file between our open and our lock.
        if _is_named(lock, path):
            break
        os.close(lock)
    with contextlib.suppress(OSError):  # the pid is for people; the lock holds without it
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _release(path: Path, lock: int) -> None:
    with contextlib.suppress(OSError):
        if _is_named(lock, path):
            path.unlink(missing_ok=True)  # ZeroMQ leaves it
            _lock_path(path).unlink()
    os.close(lock)


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + LOCK_SUFFIX)


def _is_named(lock: int, path: Path) -> bool:
    """Return whether the lock file beside `path` is the open one."""
    try:
        return os.path.samestat(os.fstat(lock), _lock_path(path).stat())
    except FileNotFoundError:
        return False
