"""Waits for the files of a Redis, and becomes its server, which serves TLS only if there is a certificate."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main(folder: str, complete: str, port: str, program: str, certificate: str, key: str) -> None:
    """Run `program`, which like `complete`, `certificate` and `key` is the name of a file in the folder."""
    while not (Path(folder) / complete).exists():
        time.sleep(0.1)
    os.environ["LD_LIBRARY_PATH"] = f"{folder}/lib"
    options = ["--save", "", "--dir", folder, "--maxmemory", "32mb", "--maxmemory-policy", "allkeys-lru"]
    if (Path(folder) / certificate).exists():
        options += ["--port", "0", "--tls-port", port, "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", f"{folder}/{certificate}", "--tls-key-file", f"{folder}/{key}"]
    command = ["redis-server", *options, "--requirepass", os.environ["PASSWORD"]]
    os.execv(f"{folder}/{program}", command)  # noqa: S606 - it replaces this process


if __name__ == "__main__":
    main(*sys.argv[1:])
