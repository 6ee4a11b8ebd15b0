"""Damage a small recording, reproducible from a seed.

A damage is a function `(Victim) -> str`: it changes the victim's bytes and says what it did.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from damage_by_statement import entries_missing, root_page, rows_without_entries
from damage_target import INTERIORS, LEAVES, Victim
from small_recordings import Kind, log_of, older

# -- anywhere


def flip_bits(victim: Victim) -> str:
    count = victim.random.choice((1, 1, 2, 8))
    places = [victim.random.randrange(len(victim.content)) for _ in range(count)]
    for place in places:
        victim.content[place] ^= 1 << victim.random.randrange(8)
    return f"{count} bits flipped at bytes {places} of pages {_pages_at(victim, places)}"


def overwrite_bytes(victim: Victim) -> str:
    length = victim.random.choice((1, 4, 16, 64, 300))
    place = victim.random.randrange(len(victim.content))
    length = min(length, len(victim.content) - place)
    victim.content[place : place + length] = victim.random.randbytes(length)
    return f"{length} random bytes at {place}, {_pages_at(victim, [place])}"


def _pages_at(victim: Victim, places: list[int]) -> str:
    return ", ".join(victim.name(place // victim.page_size + 1) for place in places)


def cut_anywhere(victim: Victim) -> str:
    size = victim.random.randrange(len(victim.content))
    return _cut(victim, size)


def cut_in_last_page(victim: Victim) -> str:
    return _cut(victim, len(victim.content) - victim.random.randrange(1, victim.page_size))


def cut_at_page(victim: Victim) -> str:
    return _cut(victim, victim.page_size * victim.random.randrange(1, victim.pages))


def _cut(victim: Victim, size: int) -> str:
    said = f"cut at byte {size} of {len(victim.content)}, {_pages_at(victim, [size])}"
    del victim.content[size:]
    return said


def append(victim: Victim) -> str:
    length = victim.random.choice((1, 100, victim.page_size, 3 * victim.page_size))
    zeros = victim.random.random() < 0.5
    victim.content += bytes(length) if zeros else victim.random.randbytes(length)
    return f"{length} {'zero' if zeros else 'random'} bytes appended"


def swap_pages(victim: Victim) -> str:
    one, other = victim.any_page(), victim.any_page()
    first, second = victim.page(one), victim.page(other)
    victim.put(one, second)
    victim.put(other, first)
    return f"swapped {victim.name(one)} and {victim.name(other)}"


def copy_page(victim: Victim) -> str:
    one, other = victim.any_page(), victim.any_page()
    victim.put(other, victim.page(one))
    return f"copied {victim.name(one)} over {victim.name(other)}"


def swap_like_pages(victim: Victim) -> str:
    """Swap two leaves, or two interior pages, of the same tree or of another of its kind."""
    pages = victim.trees(victim.random.choice((LEAVES, LEAVES, INTERIORS)))
    one, other = victim.random.sample([page for page in pages if page != 1], 2)
    first, second = victim.page(one), victim.page(other)
    victim.put(one, second)
    if victim.random.random() < 0.5:
        victim.put(other, first)
        return f"swapped {victim.name(one)} and {victim.name(other)}"
    return f"copied {victim.name(other)} over {victim.name(one)}"


def blank_page(victim: Victim) -> str:
    page, value = victim.any_page(), victim.random.choice((b"\0", b"\0", b"\xff"))
    victim.put(page, value * victim.page_size)
    return f"{victim.name(page)} filled with {value!r}"


def empty_leaf(victim: Victim) -> str:
    """Make a leaf a valid page without a row."""
    pages = [page for page in victim.trees(LEAVES) if page != 1]
    page = victim.random.choice(pages)
    at = victim.header(page)
    victim.content[at + 1 : at + 8] = bytes(4) + (victim.page_size % 65536).to_bytes(2) + b"\0"
    return f"{victim.name(page)} made empty"


def blank_sector(victim: Victim) -> str:
    sector = victim.random.randrange(len(victim.content) // 512)
    blank = bytes(512) if victim.random.random() < 0.7 else victim.random.randbytes(512)
    victim.content[512 * sector : 512 * sector + 512] = blank
    return f"sector {sector} lost, {_pages_at(victim, [512 * sector])}"


def shift(victim: Victim) -> str:
    place = victim.random.randrange(len(victim.content))
    length = victim.random.choice((1, 2, victim.page_size))
    if victim.random.random() < 0.5:
        del victim.content[place : place + length]
        return f"{length} bytes taken out at {place}, {_pages_at(victim, [place])}"
    victim.content[place:place] = bytes(length)
    return f"{length} zero bytes put in at {place}, {_pages_at(victim, [place])}"


def stale_page(victim: Victim) -> str:
    """Put back what a page was when half of the rows were written: a write that was lost."""
    before = older(victim.path).read_bytes()
    count = victim.random.choice((1, 1, 3))
    said = []
    for _ in range(count):
        page = victim.random.randrange(len(before) // victim.page_size) + 1
        victim.put(page, before[(page - 1) * victim.page_size : page * victim.page_size])
        said.append(victim.name(page))
    return "as half written: " + ", ".join(said)


def stale_tree(victim: Victim) -> str:
    """Put back all pages of one table or index as when half of the rows were written."""
    before = older(victim.path).read_bytes()
    names = sorted({owner.split(" of ")[1] for owner in victim.owners.values()})
    name = victim.random.choice(names)
    for page, owner in victim.owners.items():
        if owner.endswith(" of " + name) and page * victim.page_size <= len(before):
            victim.put(page, before[(page - 1) * victim.page_size : page * victim.page_size])
    return f"all pages of {name} as half written"


def foreign_page(victim: Victim) -> str:
    """Put a page of another file of the recording, or of an older copy, somewhere."""
    other = victim.random.choice([older(victim.path), *victim.paths])
    content = other.read_bytes()
    source = victim.random.randrange(len(content) // victim.page_size) + 1
    target = victim.random.choice((source, victim.any_page()))
    target = min(target, victim.pages)
    victim.put(target, content[(source - 1) * victim.page_size : source * victim.page_size])
    return f"{victim.name(target)} is page {source} of {other.name}"


HEADER = {
    16: "page size", 18: "write version", 19: "read version", 20: "reserved bytes",
    21: "payload fractions", 24: "change counter", 28: "page count", 32: "first free page",
    36: "free pages", 40: "schema cookie", 44: "schema format", 52: "largest root",
    56: "encoding", 64: "incremental vacuum", 92: "version valid for", 96: "version",
}  # fmt: skip


def header_field(victim: Victim) -> str:
    place = victim.random.choice(list(HEADER))
    value = victim.random.choice((0, 1, 2, 3, 255, victim.random.randrange(256)))
    if place in (16, 18, 19, 20, 21):
        victim.content[place] = value
    else:
        victim.content[place : place + 4] = value.to_bytes(4)
    return f"header: {HEADER[place]} = {value}"


def fewer_pages(victim: Victim) -> str:
    """Say fewer or more pages in the header than there are, and perhaps cut to it."""
    count = max(1, victim.pages + victim.random.choice((-3, -2, -1, 1, 2)))
    victim.content[28:32] = count.to_bytes(4)
    said = f"header: {count} pages in place of {victim.pages}"
    if victim.random.random() < 0.5:
        del victim.content[count * victim.page_size :]
        said += ", and cut to it"
    return said


def tree_header(victim: Victim) -> str:
    """Change a field in the header of a b-tree page."""
    page = victim.random.choice(list(victim.owners))
    at = victim.header(page)
    place = victim.random.choice((0, 1, 3, 4, 5, 7, 8, 11))
    victim.content[at + place] = victim.random.choice((0, 1, 2, 5, 10, 13, 255))
    return f"byte {place} of the header of {victim.name(page)} = {victim.content[at + place]}"


def fewer_cells(victim: Victim) -> str:
    """Say fewer cells in a page's header than there are."""
    page = victim.random.choice(list(victim.owners))
    at, count = victim.header(page), len(victim.cells(page))
    fewer = max(0, count - victim.random.choice((1, 1, 2, 5)))
    victim.content[at + 3 : at + 5] = fewer.to_bytes(2)
    return f"{victim.name(page)} has {fewer} cells in place of {count}"


def swap_cells(victim: Victim) -> str:
    """Change the order of cells, or have one of them twice."""
    page = victim.random.choice(list(victim.owners))
    at = victim.header(page)
    pointers = at + (12 if victim.content[at] in INTERIORS else 8)
    count = len(victim.cells(page))
    one, other = (pointers + 2 * n for n in victim.random.sample(range(count), 2))
    first, second = victim.content[one : one + 2], victim.content[other : other + 2]
    victim.content[one : one + 2] = second
    if victim.random.random() < 0.5:
        victim.content[other : other + 2] = first
        return f"cells of {victim.name(page)} swapped"
    return f"a cell of {victim.name(page)} is another's double"


def cell_head(victim: Victim) -> str:
    """Change a byte near the start of a cell: its length, rowid, or the types of its values."""
    pages = [page for page in victim.owners if victim.cells(page)]
    page = victim.random.choice(pages)
    place = victim.random.choice(victim.cells(page)) + victim.random.randrange(10)
    victim.content[place] ^= 1 << victim.random.randrange(8)
    return f"a bit of the head of a cell of {victim.name(page)}, byte {place}"


def child_pointer(victim: Victim) -> str:
    """Let an interior page point to another page: its own kind, another tree's, or none."""
    page = victim.random.choice(victim.trees(INTERIORS))
    place = victim.random.choice([*victim.cells(page), victim.header(page) + 8])
    same = [n for n in victim.owners if n != page]
    child = victim.random.choice((0, page, victim.pages + 1, *victim.random.choices(same, k=5)))
    victim.content[place : place + 4] = child.to_bytes(4)
    return f"a child of {victim.name(page)} is {victim.name(child)}"


def drop_child(victim: Victim) -> str:
    """Take a child out of an interior page, so that its rows are reached no more."""
    pages = [page for page in victim.trees(INTERIORS) if len(victim.cells(page)) > 1]
    page = victim.random.choice(pages)
    at, count = victim.header(page), len(victim.cells(page))
    pointers, out = at + 12, victim.random.randrange(count)
    del victim.content[pointers + 2 * out : pointers + 2 * out + 2]
    victim.content[pointers + 2 * count - 2 : pointers + 2 * count - 2] = b"\0\0"
    victim.content[at + 3 : at + 5] = (count - 1).to_bytes(2)
    return f"child {out} of {count + 1} taken out of {victim.name(page)}"


def link_free_page(victim: Victim) -> str:
    """Let the list of free pages begin with a page in use."""
    page = victim.random.choice(list(victim.owners))
    victim.content[32:36] = page.to_bytes(4)
    victim.content[36:40] = (1).to_bytes(4)
    return f"the free list begins with {victim.name(page)}"


WAYS: tuple[Callable[[Victim], str], ...] = (
    flip_bits, flip_bits, overwrite_bytes, cut_anywhere, cut_in_last_page, cut_at_page, append,
    swap_pages, copy_page, swap_like_pages, swap_like_pages, blank_page, empty_leaf, empty_leaf,
    blank_sector, shift, stale_page, stale_page, stale_tree, foreign_page, header_field,
    fewer_pages, tree_header, fewer_cells, fewer_cells, swap_cells, swap_cells, cell_head,
    cell_head, cell_head, child_pointer, child_pointer, drop_child, drop_child, link_free_page,
    root_page, rows_without_entries, rows_without_entries, entries_missing,
)  # fmt: skip
"""Ways to damage a file, some of them more likely than others."""


# -- the log


def damage_log(path: Path, kind: Kind, random: Random) -> str:
    """Damage the `-wal` beside a file."""
    log = log_of(path)
    content = bytearray(log.read_bytes())
    frame = 24 + kind.page_size
    begins = range(32, len(content), frame)
    number = random.randrange(len(begins))
    place = random.randrange(len(content))
    here = slice(begins[number], begins[number] + frame)
    how = random.choice(("flip", "cut", "cut at a frame", "blank", "swap", "header", "gone"))
    if how == "flip":
        content[place] ^= 1 << random.randrange(8)
    elif how == "cut":
        del content[place:]
    elif how == "cut at a frame":
        del content[here.start :]
    elif how == "blank":
        content[here] = bytes(frame)
    elif how == "swap":
        last = slice(begins[-1], begins[-1] + frame)
        content[here], content[last] = content[last], content[here]
    elif how == "header":
        content[place % 32] ^= 1 << random.randrange(8)
    log.write_bytes(content)
    if how == "gone":
        log.unlink()
    return f"log of {len(begins)} frames: {how} (frame {number + 1}, byte {place})"


# -- a recording


def damage(paths: list[Path], kind: Kind, random: Random) -> str:
    """Damage one file of a recording, perhaps twice; give every file its age. Say what was done."""
    path = random.choice(paths)
    if kind.journal == "wal" and random.random() < 0.5:
        said = damage_log(path, kind, random)
    else:
        victim = Victim(path, kind, random, paths)
        said = "; then ".join(_damage_once(victim) for _ in range(random.choice((1, 1, 1, 1, 2))))
    age = time.time() - (3600 if kind.settled else 0)
    for every in paths:
        os.utime(every, (age, age))
    return f"{path.name}: {said}"


def _damage_once(victim: Victim) -> str:
    """Damage in a way that fits: not every file has an index, or interior pages."""
    files = [file for file in (victim.path, log_of(victim.path)) if file.exists()]
    kept = {file: file.read_bytes() for file in files}
    for _ in range(20):
        way = victim.random.choice(WAYS)
        try:
            said = way(victim)
        except (IndexError, ValueError, OverflowError, sqlite3.Error):
            for file, content in kept.items():
                file.write_bytes(content)
            victim.reload()
            continue
        victim.path.write_bytes(victim.content)
        return f"{way.__name__}: {said}"
    return "nothing left to damage"
