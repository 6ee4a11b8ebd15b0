"""Keys of CURVE: who has them may connect from elsewhere, and nobody else reads along."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import zmq
import zmq.auth

from orderflow.errors import OutputError, UsageError

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

SERVER, CLIENT = "server", "client"
ALLOWED = "allowed"
"""The folder with the public keys of those who may connect."""


def make_keys(directory: Path) -> None:
    """Make the keys of a run: one pair for who binds, one for who connects.

    `directory` is made, for its owner alone. It serves on every machine of the run; who only
    connects needs `server.key`, `client.key_secret` and `client.key`. A pair of one's own is let in
    by its public key in `allowed/`. Raise `OutputError` where there are keys already.
    """
    try:
        allowed = directory / ALLOWED
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        allowed.mkdir(mode=0o700)
        for name in (SERVER, CLIENT):
            public, secret = zmq.auth.create_certificates(directory, name)
            os.chmod(secret, 0o600)  # noqa: PTH101 (its name is text)
        (allowed / f"{CLIENT}.key").write_bytes(Path(public).read_bytes())
    except FileExistsError as error:
        msg = f"{directory} has keys already, or is no directory; name another one"
        raise OutputError(msg, directory) from error
    except OSError as error:
        msg = f"{directory}: no keys can be written ({error.strerror}); name another directory"
        raise OutputError(msg, directory) from error


class KeyRing:
    """Give sockets of a context their keys, and let in those whose keys are allowed.

    Raise `UsageError` where `directory` lacks the keys that are needed.
    """

    def __init__(self, directory: Path, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        self._directory = directory
        self._context = context
        self._authenticator: ThreadAuthenticator | None = None

    def serve(self, socket: "zmq.Socket[bytes]") -> None:
        """Let a socket that will be bound ask who connects."""
        if self._authenticator is None:
            from zmq.auth.thread import ThreadAuthenticator  # noqa: PLC0415 (slow: brings asyncio)

            # Without one, CURVE lets in whoever knows the server's public key.
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            location = self._directory / ALLOWED
            with self._keys_needed():
                self._authenticator.configure_curve(domain="*", location=str(location))
        socket.curve_publickey, socket.curve_secretkey = self._pair(SERVER)
        socket.curve_server = True

    def join(self, socket: "zmq.Socket[bytes]") -> None:
        """Let a socket that will connect show who it is, and know whom it connects to."""
        socket.curve_publickey, socket.curve_secretkey = self._pair(CLIENT)
        with self._keys_needed():
            public, _ = zmq.auth.load_certificate(self._directory / f"{SERVER}.key")
            socket.curve_serverkey = public

    def close(self) -> None:
        """Let nobody in any more; call it before the context ends."""
        if self._authenticator is not None:
            self._authenticator.stop()

    def _pair(self, name: str) -> tuple[bytes, bytes]:
        with self._keys_needed():
            public, secret = zmq.auth.load_certificate(self._directory / f"{name}.key_secret")
            if secret is None:
                msg = "it has no secret key"
                raise ValueError(msg)
            return public, secret

    @contextlib.contextmanager
    def _keys_needed(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            msg = (
                f"--keys {self._directory}: {error}; make keys with `trading keys DIR`, and have "
                "the same on both sides"
            )
            raise UsageError(msg, "--keys", self._directory) from error
