"""The command line: everything that the window can do, without a window. A command is imported when it is used.

Exit codes: 0 done, 1 the run failed or ``runs check`` found damage, 2 wrong use or bad input, 3 the run was interrupted or
cancelled, 4 another supervisor serves the workspace, 5 ``doctor`` found something missing, 130 and 143 ended by Ctrl+C or
SIGTERM, also of a run before its first step.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from difrob import __version__
from difrob.cli.late_commands import LateCommand, late_group
from difrob.errors import UserError
from difrob.signals import Ending, exit_code

EXIT_CODES = (
    "Exit codes: 0 done; 1 the run failed, or 'runs check' found damage; 2 wrong use or bad input; "
    "3 the run was interrupted or cancelled; 4 another supervisor serves the workspace; 5 doctor found something missing; "
    "130 ended by Ctrl+C, 143 by SIGTERM."
)

TRACEBACK = "DIFROB_TRACEBACK"

COMMANDS = {
    "run": LateCommand("difrob.cli.run", "Run one job, in this terminal or through the queue."),
    "demo": LateCommand(
        "difrob.cli.demo", "Train, generate, attack and certify on real digits; a few minutes on two CPU cores."
    ),
    "runs": LateCommand(
        "difrob.cli.runs",
        "List the runs of the workspace, newest first, or take care of them. Without a further word: list them.",
    ),
    "show": LateCommand(
        "difrob.cli.show", "Show one run: how it stands, results with intervals, specification, what it holds."
    ),
    "compare": LateCommand(
        "difrob.cli.show",
        "Hold runs against each other: results with intervals, and where their specifications differ.",
    ),
    "data": LateCommand("difrob.cli.data", "The data sets of the workspace. Without a further word: list them."),
    "export": LateCommand("difrob.cli.exchange", "Write the labelled images of a run as other programs read them."),
    "queue": LateCommand("difrob.cli.queue", "Show and change the queue. Without a further word: show it."),
    "serve": LateCommand(
        "difrob.cli.queue",
        "Run the supervisor of the workspace in this terminal until Ctrl+C; runs that are live go on without it.",
    ),
    "study": LateCommand(
        "difrob.cli.study",
        "Comparisons declared beforehand: arms, seeds, outcomes, and the rule that decides.",
    ),
    "gui": LateCommand(
        "difrob.cli.window", "Open the workbench. Closing it stops nothing: runs belong to the supervisor."
    ),
    "doctor": LateCommand(
        "difrob.cli.doctor",
        "Look at Python, packages, device, Qt and the workspace; say what is missing and the command that mends it.",
    ),
}

app = typer.Typer(
    name="difrob",
    cls=late_group(COMMANDS),
    help="A workbench for robustness research with diffusion models.\n\nStart with 'difrob demo' or 'difrob gui'.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"difrob {__version__}")
        raise typer.Exit


@app.callback()
def difrob(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What stands before the command."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that a person can mend become one sentence on stderr and an exit code."""
    ending, code = Ending(), 0
    with suppress(KeyboardInterrupt), ending.watched():  # one may come when all is done, too
        code = _run(arguments)
    return exit_code(ending.number) if ending.number else code


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UserError as error:
        print(f"difrob: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 3
    except BrokenPipeError:  # e.g. "difrob runs | head": nobody listens any more, and that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # wrong use, which typer explains itself
            error.show()
            return 2
        if os.environ.get(TRACEBACK):
            raise
        print(f"difrob: {type(error).__name__}: {error} (set {TRACEBACK}=1 to see where)", file=sys.stderr)
        return 1
