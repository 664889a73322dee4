"""Lets `python -m e2e.cluster` be the command line."""

import sys

from e2e.cluster.cli import main

sys.exit(main())
