"""The command line: ``python -m difrob``, and the script ``difrob``."""

import sys

from difrob.signals import end_at_once


def main() -> int:
    """Run one command. What it needs is imported when a signal ends the process in an instant."""
    end_at_once()
    from difrob.cli import main as run_command

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
