"""Lets `python -m e2e.demo` be the command line."""

import sys

from e2e.demo.demo import main

sys.exit(main())
