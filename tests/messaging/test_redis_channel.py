"""Redis by its URLs; that notices go through it is tested with the other ways of notices."""

from contextlib import closing
from pathlib import Path

import pytest
from notice_brokers import until

from messaging.notification import Listener, Notifier
from messaging.redis_channel import RedisChannel


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?password=a", {"path": "/run/redis.sock", "password": "a"}),
        ("redis://host:7000/3", {"host": "host", "port": 7000, "db": 3}),
        ("redis://:secret@host", {"host": "host", "password": "secret"}),
    ],
)
def test_urls_are_read_as_meant(url: str, arguments: dict[str, object]) -> None:
    given = RedisChannel(url)._redis.connection_pool.connection_kwargs
    assert {name: given.get(name) for name in arguments} == arguments


@pytest.mark.parametrize("url", ["", "host:6379", "http://host", "/run/redis.sock"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://, rediss://, unix://"):
        RedisChannel(url)


@pytest.mark.parametrize("url", ["unix://run/redis.sock", "unix://", "unix://a@run/redis.sock"])
def test_a_socket_without_its_first_slash_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="begins with a slash"):
        RedisChannel(url)


def test_a_server_that_is_not_there_is_said_once_a_side(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"unix://{tmp_path}/none.sock"
    with (
        closing(Notifier(RedisChannel(url), "redis")) as notifier,
        closing(Listener(RedisChannel(url), "redis")) as listener,
    ):
        notifier.notify()
        until(lambda: len(caplog.records) == 2)
        assert not listener.wait_blocking(0.5)
    assert len(caplog.records) == 2
    assert all("No such file" in record.getMessage() for record in caplog.records)
