"""The process of a job, which `replay.child` starts: do the job of the line on stdin.

    python -m replay.job_process < job.json

What became of it is printed as a line of JSON. It is no command for users, and goes without Typer,
whose import takes as long as a small job's book.
"""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import gc
import os
import resource
import sys

import orjson

from orderflow import parent
from replay.job import Job, run_job
from replay.run import OBJECTS_PER_COLLECTION


def main() -> None:
    """Do the job and end the process."""
    gc.enable()  # which `startup.begin` has put off
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    try:
        job = Job.of_line(_read_line())
        limit_memory(job.memory_mb)
        parent.end_with_parent(grace_seconds=0)
        sys.stdout.write(orjson.dumps(run_job(job)).decode() + "\n")
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 (the outermost line of defence: said, never swallowed)
        sys.exit(f"a bug in the program: {error!r}")
    os._exit(0)  # all is written; taking the interpreter apart would take longer than writing it


def limit_memory(megabytes: int) -> None:
    """Let this process fail to take more memory than that; macOS does not hold to it."""
    limit = megabytes * 1024 * 1024
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _read_line() -> bytes:
    """Read a line from stdin and no more, so that who waits for its end is told."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


if __name__ == "__main__":
    main()
