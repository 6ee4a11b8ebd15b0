"""One file that is about to be damaged, and where its pages are."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import copyfile

from small_recordings import Kind

LEAVES = {10: "index leaf", 13: "table leaf"}
INTERIORS = {2: "index interior", 5: "table interior"}


@dataclass
class Victim:
    """One file about to be damaged, the rest of its recording, and where its pages are."""

    path: Path
    kind: Kind
    random: Random
    paths: list[Path]
    content: bytearray = field(init=False)
    owners: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        self.reload()
        self.owners = _owners(self)

    def reload(self) -> None:
        """Take the file as it lies there now."""
        self.content = bytearray(self.path.read_bytes())

    @property
    def page_size(self) -> int:
        return self.kind.page_size

    @property
    def pages(self) -> int:
        return len(self.content) // self.page_size

    def page(self, number: int) -> bytes:
        """Return page `number`, from 1."""
        return bytes(self.content[(number - 1) * self.page_size : number * self.page_size])

    def put(self, number: int, page: bytes) -> None:
        self.content[(number - 1) * self.page_size : number * self.page_size] = page

    def any_page(self) -> int:
        return self.random.randrange(self.pages) + 1

    def name(self, number: int) -> str:
        return f"page {number} ({self.owners.get(number, 'free, overflow or unknown')})"

    def header(self, number: int) -> int:
        """Return where the b-tree header of a page begins in the file."""
        return (number - 1) * self.page_size + (100 if number == 1 else 0)

    def cells(self, number: int) -> list[int]:
        """Return where the cells of a b-tree page begin in the file."""
        at = self.header(number)
        pointers = at + (12 if self.content[at] in INTERIORS else 8)
        count = int.from_bytes(self.content[at + 3 : at + 5])
        places = [self.content[pointers + 2 * n : pointers + 2 * n + 2] for n in range(count)]
        begin = (number - 1) * self.page_size
        return [begin + int.from_bytes(place) for place in places]

    def trees(self, kinds: dict[int, str]) -> list[int]:
        """List the b-tree pages of some kinds that belong to `book` or `trades`."""
        return [n for n in self.owners if self.content[self.header(n)] in kinds]


def _owners(victim: Victim) -> dict[int, str]:
    """Say of each b-tree page to which table or index it belongs."""
    copy = victim.path.with_suffix(".copy")
    try:
        copyfile(victim.path, copy)  # without its log: what the file itself says
        with closing(sqlite3.connect(copy)) as connection:
            roots = connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall()
    finally:
        for left in copy.parent.glob(copy.name + "*"):
            left.unlink()
    owners: dict[int, str] = {}
    for name, root in [("schema", 1), *roots]:
        for page in _tree(victim, root):
            label = (LEAVES | INTERIORS).get(victim.content[victim.header(page)], "?")
            owners[page] = f"{label} of {name}"
    return owners


def _tree(victim: Victim, root: int) -> Iterator[int]:
    yield root
    at = victim.header(root)
    if victim.content[at] in INTERIORS:
        children = [*victim.cells(root), at + 8]
        for child in children:
            yield from _tree(victim, int.from_bytes(victim.content[child : child + 4]))
