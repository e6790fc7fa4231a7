"""Kills, full disks and hostile inputs; prints a table and exits with 1 if anything is wrong.

Run as ``python -m tests.faults`` from the root of the project (``make faults``).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from faults.campaign import main  # noqa: E402 - found through the line above

if __name__ == "__main__":
    sys.exit(main())
