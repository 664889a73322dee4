"""Prints the status of the response to a GET request."""

from __future__ import annotations

import sys
import urllib.request


def main(url: str) -> None:
    """Send the request."""
    with urllib.request.urlopen(url) as response:  # noqa: S310 - the scenarios choose the URL
        print(response.status)


if __name__ == "__main__":
    main(*sys.argv[1:])
