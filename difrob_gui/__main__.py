"""``python -m difrob_gui [--workspace DIR]`` opens the window."""

from __future__ import annotations

import argparse
import sys

from difrob.signals import end_at_once


def run() -> int:
    """Read the command line and open the window."""
    end_at_once()
    from difrob_gui.app import main

    parser = argparse.ArgumentParser(prog="python -m difrob_gui", description="Open the difrob window on a workspace.")
    parser.add_argument("--workspace", metavar="DIR", help="folder of the workspace; made if it does not exist")
    parser.add_argument("--theme", choices=("system", "light", "dark", "contrast"), help="colours for this session")
    parser.add_argument("--follow", action="store_true", help="let the Monitor page turn to each run as it begins")
    options = parser.parse_args()
    return main(options.workspace, theme=options.theme, follow=options.follow)


if __name__ == "__main__":
    sys.exit(run())
