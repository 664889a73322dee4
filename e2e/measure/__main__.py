"""Lets `python -m e2e.measure` be the command line."""

import sys

from e2e.measure.cli import main

sys.exit(main())
