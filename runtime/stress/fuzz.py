"""Send mutated images to a real server inside a memory limit, and check every response.

    python -m runtime.stress.fuzz --count 20000 [--seed 1] [--first 0] [--memory-mib 512] [--keep FOLDER]

Needs root and a writable cgroup hierarchy, as `limited` does. Correct responses are 200 with finite probabilities,
400, 413 or 415 with problem details, and 503 with Retry-After. The exit status is 1 if any other response was
received, if the server exited, or if a process was OOM-killed. With `--keep`, images with an incorrect response
are written to that folder.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import os
import sys
import threading
import time
from pathlib import Path

from runtime.stress.limited import Cgroup, server
from runtime.stress.mutate import Mutant, mutant, seeds

_MIB = 1 << 20
_CLIENTS = 4
_REFUSALS = {400, 413, 415}


class Client:
    """A client with a keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, image: Mutant) -> tuple[int, str]:
        """Return the status, and the fault of the response ("" if it is correct)."""
        try:
            self._connection.request("POST", "/api/v1/classify", image.data, {"Content-Type": image.content_type})
            response = self._connection.getresponse()
            return response.status, _fault(response.status, response.read(), response.headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, f"no response: {error!r}"


def _fault(status: int, body: bytes, headers: http.client.HTTPMessage) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return f"the response is not JSON: {body[:100]!r}"
    if status == 200:
        predictions = document["predictions"]
        valid = predictions and all(0 <= one["probability"] <= 1 for one in predictions)
        return "" if valid else f"invalid predictions: {body[:200]!r}"
    if status == 503:
        return "" if "Retry-After" in headers else "a 503 without Retry-After"
    if status not in _REFUSALS:
        return f"status {status}: {body[:200]!r}"
    return "" if document.get("status") == status and document.get("detail") else f"no detail: {body[:200]!r}"


def send_all(port: int, options: argparse.Namespace) -> tuple[collections.Counter[int], list[str]]:
    """Send all images from several clients; return the statuses and the faults."""
    valid_files, end = seeds(), options.first + options.count
    counts: collections.Counter[int] = collections.Counter()
    faults: list[str] = []
    lock = threading.Lock()

    def run(number: int) -> None:
        client = Client(port)
        for index in range(options.first + number, end, _CLIENTS):
            image = mutant(options.seed, index, valid_files)
            status, fault = client.send(image)
            with lock:
                counts[status] += 1
                if fault:
                    faults.append(f"{image.name}: {fault}")
                    _keep(options.keep, image)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    for thread in threads:
        while thread.is_alive():
            thread.join(10)
            done = sum(counts.values())
            print(f"  {time.monotonic() - started:5.0f} s  {done} of {options.count} images, {len(faults)} faults")
    return counts, faults


def _keep(folder: Path | None, image: Mutant) -> None:
    """Write an image to the folder of `--keep`, if it is set."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / image.name.partition(" ")[0].replace("/", "-")).write_bytes(image.data)


def main() -> int:
    """Send the images and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="number of images (default: 20000)")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the mutations (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first image (default: 0)")
    parser.add_argument("--memory-mib", type=int, default=512, help="memory limit in MiB (default: 512)")
    parser.add_argument("--cpus", type=float, default=2, help="CPU limit (default: 2)")
    parser.add_argument("--keep", type=Path, help="folder for images with an incorrect response")
    options = parser.parse_args()
    group = Cgroup(f"imageclassifier-fuzz-{os.getpid()}", options.memory_mib * _MIB, options.cpus)
    try:
        with server(group, None, {}) as (process, port):
            counts, faults = send_all(port, options)
            alive = process.poll() is None
            usage = group.report()
    finally:
        group.remove()
    print(f"  statuses {dict(sorted(counts.items()))}")
    peak, killed = usage["peak"] / _MIB, usage["killed"]
    print(f"  peak {peak:.0f} of {options.memory_mib} MiB, killed {killed}, alive {alive}")
    for fault in faults[:20]:
        print("  fault:", fault)
    good = not faults and alive and not killed and sum(counts.values()) == options.count
    print("held" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
