"""``python -m hiddenstate.cli``: the command line where the script is not installed."""

import sys

from . import main

sys.exit(main())
