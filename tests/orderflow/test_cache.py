"""The cache is bounded, the oldest by use go first, and nothing that is not its own is touched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderflow.cache import DirectoryCache

NAMES = [f"v1-{number}" for number in range(5)]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[DirectoryCache]:
    made = DirectoryCache(tmp_path, r"v\d+-\d+", r"[a-z]+\.db", max_entries=3, max_bytes=1000)
    yield made
    made.release()


def fill(cache: DirectoryCache, names: list[str], size: int = 10) -> None:
    """Make entries, each used an hour after the one before."""
    for number, name in enumerate(names):
        path = cache.use(name)
        (path / "a.db").write_bytes(b"x" * size)
        os.utime(path, (number * 3600, number * 3600))


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir())


def test_the_entries_used_longest_ago_go(cache: DirectoryCache, tmp_path: Path) -> None:
    fill(cache, NAMES)
    cache.use(NAMES[0])
    cache.release()
    cache.trim()
    assert left(tmp_path) == [NAMES[0], NAMES[3], NAMES[4]]


def test_their_size_is_bounded_too(cache: DirectoryCache, tmp_path: Path) -> None:
    fill(cache, NAMES[:3], size=450)
    cache.release()
    cache.trim()
    assert left(tmp_path) == NAMES[1:3]


def test_nothing_goes_within_the_bounds(cache: DirectoryCache, tmp_path: Path) -> None:
    fill(cache, NAMES[:3])
    cache.release()
    cache.trim()
    assert left(tmp_path) == NAMES[:3]


def test_what_another_process_uses_stays(cache: DirectoryCache, tmp_path: Path) -> None:
    fill(cache, NAMES)
    cache.release()
    other = DirectoryCache(tmp_path, r"v\d+-\d+", r"[a-z]+\.db", max_entries=3, max_bytes=1000)
    path = other.use(NAMES[0])
    os.utime(path, (0, 0))
    cache.trim()
    assert left(tmp_path) == [NAMES[0], NAMES[3], NAMES[4]]
    other.release()


def test_what_is_not_its_own_is_not_touched(cache: DirectoryCache, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    made = DirectoryCache(root, r"v\d+-\d+", r"[a-z]+\.db", max_entries=0, max_bytes=0)
    made.use("v1-0")
    made.release()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "a.db").touch()
    (root / "v1-1").symlink_to(precious)
    (root / "v1-2").mkdir()
    (root / "v1-2" / "notes.txt").touch()
    (root / "v1-3" / "sub.db").mkdir(parents=True)
    (root / "v1-4").mkdir()
    (root / "v1-4" / "a.db").symlink_to(precious / "a.db")
    (root / "another").mkdir()
    (root / "v1-5").touch()
    made.trim()
    assert left(root) == ["another", "v1-1", "v1-2", "v1-3", "v1-4", "v1-5"]
    assert (precious / "a.db").exists()


def test_an_entry_that_was_removed_is_made_anew(cache: DirectoryCache, tmp_path: Path) -> None:
    fill(cache, NAMES)
    cache.release()
    cache.trim()
    assert not (tmp_path / NAMES[0]).exists()
    assert list(cache.use(NAMES[0]).iterdir()) == []
