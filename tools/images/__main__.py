"""Lets `python -m tools.images` be the command line."""

import sys

from tools.images.cli import main

sys.exit(main())
