"""Read recordings from their prepared copies, where a command does so at all.

Where there are no copies nothing else of this package is imported.
"""

import os
from contextlib import suppress
from pathlib import Path

from orderflow.cache import PREPARED_CACHE, user_cache_dir
from orderflow.errors import OutputError
from recordings.discovery import Recording


def read_from_copies(recording: Recording, prepared_dir: Path | None) -> str | None:
    """Let a recording be read from prepared copies, where there are true ones of all its files.

    They are in `prepared_dir`, by default in the user's cache. Return why copies are not used, as a
    line; None where they are, or where there are none and nobody has named a directory.
    """
    with suppress(OutputError):  # without a home directory there is no cache either
        root = prepared_dir or user_cache_dir() / PREPARED_CACHE
        if prepared_dir or os.path.isdir(root):  # noqa: PTH112 (what may not be looked at is none)
            from formats.prepared import use_prepared  # noqa: PLC0415 (seldom needed)

            return use_prepared(recording, root, is_named=prepared_dir is not None)
    return None
