"""Where the project and the real recordings are, for tests that start programs or read files."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
REAL_DATA = PROJECT.parent / "shared" / "data"
