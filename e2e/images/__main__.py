"""Lets `python -m e2e.images` be the command line."""

import sys

from e2e.images.cli import main

sys.exit(main())
