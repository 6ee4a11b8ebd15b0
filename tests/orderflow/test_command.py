"""The manners of every command line, tried on a small program as users run it."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from places import PROJECT

PROGRAMS = ["main.py", "app.py", "synthetic_market.py"]
PROGRAMS += [str(path.relative_to(PROJECT)) for path in PROJECT.glob("*/__main__.py")]
PROGRAM = """
    from orderflow import startup

    if __name__ == "__main__":
        startup.begin()

    import os
    import time
    from typing import Annotated

    import typer

    from orderflow.command import Quiet, Verbose, in_range, new_app, print_result, run, say
    from orderflow.command import set_up_logging
    from orderflow.errors import OrderflowError, PortTakenError, UsageError

    ERRORS = {
        "failed": OrderflowError("the disk is gone; mount it"),
        "usage": UsageError("END is before START"),
        "port": PortTakenError("port 8050 is in use", "127.0.0.1", 8050),
        "bug": ZeroDivisionError("division by zero"),
        "pipe": BrokenPipeError(32, "Broken pipe"),
    }
    app = new_app()


    @app.command()
    def work(
        what: str,
        count: Annotated[int, typer.Option(callback=in_range(1, 5000))] = 1,
        verbose: Verbose = 0,
        quiet: Quiet = False,
    ) -> None:
        set_up_logging(verbose, quiet=quiet)
        if what in ERRORS:
            raise ERRORS[what]
        if what == "wait":
            say("waiting")
            time.sleep(60)
        say("working")
        print_result(f"{what} {count}")
        if what == "streams":
            made = os.open(os.devnull, os.O_RDONLY)
            print_result(f"next is above 2: {made > 2}")


    @app.command()
    def other() -> None:
        raise typer.Exit(7)


    if __name__ == "__main__":
        run(app)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("program") / "tool.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return [sys.executable, str(path)]


# Buffered, as streams are by default: what a failing flush leaves in the buffer matters.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(PROJECT),
    "PYTHONUNBUFFERED": "",
    "COLUMNS": "100",
}


def ended(command: list[str], *given: str, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*command, *given],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT | env,
    )
    return done.returncode, done.stdout, done.stderr


def in_shell(program: list[str], rest: str) -> tuple[int, str]:
    """Run `tool` as a function of a shell; return the code of the last line and stderr."""
    script = 'tool() { "$PYTHON" "$TOOL" "$@"; }\n' + rest
    done = subprocess.run(
        ["bash", "-c", script],  # noqa: S607 (the system's own)
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT | {"PYTHON": program[0], "TOOL": program[1]},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("failed", 1, "Error: the disk is gone; mount it\n"),
        ("usage", 2, "Error: END is before START\n"),
        ("port", 3, "Error: port 8050 is in use\n"),
        (
            "bug",
            1,
            "Error: a bug in the program: ZeroDivisionError('division by zero'); "
            "-vv shows where, please report it\n",
        ),
        (
            "pipe",
            1,
            "Error: a bug in the program: BrokenPipeError(32, 'Broken pipe'); "
            "-vv shows where, please report it\n",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    program: list[str], what: str, code: int, said: str
) -> None:
    assert ended(program, "work", what) == (code, "", said)


def test_a_traceback_shows_with_vv_alone(program: list[str]) -> None:
    code, _, err = ended(program, "work", "bug", "-vv")
    assert code == 1
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("Error: a bug in the program: ZeroDivisionError('division by zero')\n")
    assert "Traceback" not in ended(program, "work", "bug", "-v")[2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("work",), "Error: Missing argument 'WHAT'"),
        (("work", "x", "--nope"), "Error: No such option: --nope"),
        (("nothing",), "Error: No such command 'nothing'"),
        (("work", "x", "--count", "many"), "Error: Invalid value for '--count'"),
        (("work", "x", "--count", "5001"), "must be 1 to 5,000; found 5,001; tool.py work --help"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_the_help(
    program: list[str], given: tuple[str, ...], said: str
) -> None:
    code, out, err = ended(program, *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said.lower() in err.lower()  # releases of Typer differ in the case of WHAT
    assert err.endswith("--help shows what is understood\n")


def test_h_is_help_for_the_program_and_each_command(program: list[str]) -> None:
    for given in ((), ("work",)):
        short, long = ended(program, *given, "-h"), ended(program, *given, "--help")
        assert short[0] == 0
        assert short == long
        assert "-h, --help" in short[1]


def test_a_command_ends_with_the_code_it_asks_for(program: list[str]) -> None:
    assert ended(program, "other") == (7, "", "")


def test_a_result_is_all_there_is_on_stdout(program: list[str]) -> None:
    assert ended(program, "work", "x", "--count", "3") == (0, "x 3\n", "working\n")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("tool work x | true; exit ${PIPESTATUS[0]}", 141, "working\n"),
        ("tool -h | true; exit ${PIPESTATUS[0]}", 141, ""),
        (
            "tool work x >/dev/full",
            1,
            "working\nError: standard output cannot be written to (No space left on device); "
            "send it elsewhere\n",
        ),
        (
            "tool -h >/dev/full",
            1,
            "Error: standard output cannot be written to (No space left on device); "
            "send it elsewhere\n",
        ),
        (
            "tool work x >&-",
            1,
            "working\nError: standard output is closed, so the result cannot be printed\n",
        ),
        ("tool work x 2>&- >/dev/null", 0, ""),
        ("tool work x 2>/dev/full >/dev/null", 0, ""),
        ("{ tool work x 2>&1 >/dev/null; echo $? >&2; } | true", 0, "0\n"),
        ("tool work failed 2>&-", 1, ""),
        ("tool work failed 2>/dev/full", 1, ""),
    ],
)
def test_a_stream_that_takes_nothing_is_said_as_that_and_not_as_a_bug(
    program: list[str], line: str, code: int, said: str
) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    assert in_shell(program, line) == (code, said)


def test_no_file_takes_the_number_of_a_closed_stream(program: list[str]) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" "$1" work streams <&- 2>&-', *program],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.stdout.splitlines()[-1] == "next is above 2: True"


def test_ctrl_c_in_a_command_ends_with_130_and_one_line(program: list[str]) -> None:
    with subprocess.Popen(
        [*program, "work", "wait"], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == "Error: stopped\n"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_an_error_is_red_on_a_terminal_unless_no_color_is_set(
    program: list[str], no_color: str
) -> None:
    ours, theirs = pty.openpty()
    env = ENVIRONMENT | {"NO_COLOR": no_color, "TERM": "xterm"}
    subprocess.run([*program, "work", "failed"], stderr=theirs, check=False, env=env)
    os.close(theirs)
    assert ("\x1b[31m" in os.read(ours, 1000).decode()) is not bool(no_color)
    os.close(ours)


@pytest.mark.parametrize(("term", "start"), [("xterm", "\r\x1b[K"), ("dumb", "")])
def test_a_message_takes_the_place_of_what_the_terminal_s_line_holds(
    program: list[str], term: str, start: str
) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        [*program, "work", "x"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        check=True,
        env=ENVIRONMENT | {"TERM": term},
    )
    os.close(theirs)
    assert os.read(ours, 1000).decode() == f"{start}working\r\n"
    os.close(ours)


# Sends SIGINT at the nth import that a program makes after its first lines.
INTERRUPTED_START = """
    import os, runpy, signal, sys

    program, at = sys.argv[1], int(sys.argv[2])
    sys.argv = [program, "--version"]
    seen = 0

    def look(event, arguments):
        global seen
        if event == "import" and signal.getsignal(signal.SIGINT) is not FIRST:
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGINT)

    FIRST = signal.getsignal(signal.SIGINT)
    sys.addaudithook(look)
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        print("imports", seen)
"""


def interrupted_start(program: str, at: int) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(INTERRUPTED_START)
    return subprocess.run(
        [sys.executable, "-c", code, PROJECT / program, str(at)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT,
    )


@pytest.mark.thorough
def test_ctrl_c_during_the_imports_of_main_ends_with_130_and_no_traceback() -> None:
    whole = interrupted_start("main.py", 0)
    imports = int(whole.stdout.split()[-1])
    assert imports > 100
    for at in range(1, imports, imports // 30):
        done = interrupted_start("main.py", at)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", ""), at


def test_ctrl_c_during_the_imports_of_the_page_ends_with_130_and_no_traceback() -> None:
    for at in (1, 50, 400):
        done = interrupted_start("app.py", at)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", ""), at


@pytest.mark.parametrize("program", PROGRAMS)
def test_windows_is_refused_in_one_line(program: str) -> None:
    script = (
        "import runpy, sys; sys.platform = 'win32'; sys.argv = [sys.argv[1], '--help']; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    code, out, err = ended([sys.executable, "-c", script, str(PROJECT / program)])
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("Error: this program runs on Linux and macOS; found Windows")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_begins_with_its_start_up_and_ends_in_run(program: str) -> None:
    lines = (PROJECT / program).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(("import ", "from ")))
    assert lines[first] == "from orderflow import startup"
    assert lines[first + 2 : first + 4] == ['if __name__ == "__main__":', "    startup.begin()"]
    assert lines[-1].startswith("    command.run(")


COLLECTING = """
import atexit, gc
from orderflow import startup
startup.begin()
print(gc.isenabled())
from orderflow import command
app = command.new_app()
app.command()(lambda: print(gc.isenabled()))
atexit.register(lambda: print(gc.get_freeze_count() > 10_000))
command.run(app, [])
"""


def test_garbage_is_collected_while_a_command_runs_and_neither_before_nor_after() -> None:
    assert ended([sys.executable, "-c", COLLECTING]) == (0, "False\nTrue\nTrue\n", "")
