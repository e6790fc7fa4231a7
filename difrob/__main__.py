"""``python -m difrob`` is the command line."""

import sys

from difrob.cli import main

sys.exit(main())
