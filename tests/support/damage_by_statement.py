"""Damage a recording by statements, through a schema that may be written.

What comes of it are files whose pages are whole and whose trees contradict one another.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from damage_target import Victim
from small_recordings import ROWS


def root_page(victim: Victim) -> str:
    """Let the schema name another root page for a table or an index."""
    names = sorted({owner.split(" of ")[1] for owner in victim.owners.values()} - {"schema"})
    one, other = victim.random.choice(names), victim.random.choice(names)
    root = f"(SELECT rootpage FROM sqlite_master WHERE name = '{other}')"
    if victim.random.random() < 0.5:
        root = str(victim.random.choice(list(victim.owners)))
    return _run(victim, f"UPDATE sqlite_master SET rootpage = {root} WHERE name = '{one}'")


def rows_without_entries(victim: Victim) -> str:
    """Change a table while its index is not kept: entries are missing, left over, or wrong."""
    table, _ = _choose_index(victim)
    some = f"id % {victim.random.choice((2, 7, 60))} = 1"
    last = f"id > (SELECT max(id) FROM {table}) - {victim.random.choice((1, 5, 40))}"
    rows = victim.random.choice((some, last))
    change = victim.random.choice(
        (
            f"DELETE FROM {table} WHERE {rows}",
            f"UPDATE {table} SET timestamp = timestamp + 60000 WHERE {rows}",
            f"UPDATE {table} SET id = id + 1000 WHERE {rows}",
        )
    )
    of_index = f"WHERE name = '{table}_timestamp'"
    with _writable(victim.path) as connection:
        (entry,) = connection.execute(f"SELECT * FROM sqlite_master {of_index}").fetchall()
        connection.execute(f"DELETE FROM sqlite_master {of_index}")
    said = _run(victim, change)  # on a connection that never knew of the index
    with _writable(victim.path) as connection:
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", entry)
    victim.reload()
    return f"behind the back of the index, {said}"


def entries_missing(victim: Victim) -> str:
    """Lose entries of an index: the rows are there, and the index does not say so."""
    table, sql = _choose_index(victim)
    size = victim.random.choice((1, 5, 60))
    kept = victim.random.choice((f"id % {size + 1} <> 0", f"id < {ROWS - size}"))
    _run(
        victim,
        f"DROP INDEX {table}_timestamp",
        f"{sql} WHERE {kept}",
        f"UPDATE sqlite_master SET sql = '{sql}' WHERE name = '{table}_timestamp'",
    )
    return f"index of {table} on ({victim.kind.index}) has only the entries of {kept}"


def _choose_index(victim: Victim) -> tuple[str, str]:
    """Return a table and the statement that made its index; raise IndexError where it has none."""
    if not victim.kind.index:
        msg = "no index"
        raise IndexError(msg)
    table = victim.random.choice(("book", "trades"))
    return table, f"CREATE INDEX {table}_timestamp ON {table}({victim.kind.index})"


def _run(victim: Victim, *statements: str) -> str:
    with _writable(victim.path) as connection:
        for statement in statements:
            connection.execute(statement)
    victim.reload()
    return "; ".join(statements)


@contextmanager
def _writable(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("PRAGMA synchronous = 0")
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
