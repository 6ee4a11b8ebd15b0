"""What a replay asks for among databases and archives, and what is found for it."""

from dataclasses import dataclass
from pathlib import Path

from recordings.discovery import Recording


@dataclass(frozen=True)
class Asked:
    """What is to be replayed, and where it was looked for; times in ms, the range half open.

    With `quiet` no line says what was read and what was left out.
    """

    instrument: str
    data_dir: Path
    start_ms: int
    end_ms: int
    book_mode: str = "auto"
    quiet: bool = False


@dataclass(frozen=True)
class FoundRecording:
    """What a replay reads; `files` are all its files where archives are among them, else none."""

    recording: Recording
    files: tuple[Path, ...] = ()
