"""The command line: everything that the window can do, without a window.

Exit codes: 0 done, 1 the run failed or ``runs check`` found damage, 2 wrong use or bad input, 3 the run was interrupted or
cancelled, 4 another supervisor serves the workspace, 5 ``doctor`` found something missing.
"""

from __future__ import annotations

import os
import sys

import typer

from difrob.cli import data, demo, doctor, exchange, queue, run, show, study, window
from difrob.errors import UserError

EXIT_CODES = (
    "Exit codes: 0 done; 1 the run failed, or 'runs check' found damage; 2 wrong use or bad input; "
    "3 the run was interrupted or cancelled; 4 another supervisor serves the workspace; 5 doctor found something missing."
)

TRACEBACK = "DIFROB_TRACEBACK"

app = typer.Typer(
    name="difrob",
    help="A workbench for robustness research with diffusion models.\n\nStart with 'difrob demo' or 'difrob gui'.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (run, demo, show, data, exchange, queue, study, window, doctor):
    module.register(app)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that a person can mend become one sentence on stderr and an exit code."""
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
