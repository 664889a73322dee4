"""Uses up the memory of a container with processes smaller than the server, which the kernel then kills."""

from __future__ import annotations

import os
import sys
import time


def main(processes: str, mebibytes: str, seconds: str) -> None:
    """Start that many processes, which each use that much memory, for that long."""
    for _ in range(int(processes)):
        if os.fork() == 0:
            _block = bytearray(int(mebibytes) << 20)
            time.sleep(float(seconds))
            os._exit(0)
    time.sleep(float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
