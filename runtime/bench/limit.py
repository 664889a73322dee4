"""The in-process limit: from JPEG bytes to the top five classes in a loop of threads, with the runtime's stages.

    python -m runtime.bench.limit < job.json > result.json

Without HTTP, queue, event loop or log: the rate of the server's decode, preprocess and session functions on these
cores if serving cost nothing. Several loops share a session with one thread for each call; a single loop has a
session that uses all threads.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.decode import decode
from imageclassifier_runtime.inference.postprocess import top
from imageclassifier_runtime.inference.preprocess import preprocess
from imageclassifier_runtime.inference.session import open_session
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.system import malloc

from runtime.bench.jobs import Limit, LimitJob
from runtime.bench.statistics import percentile

if TYPE_CHECKING:
    from collections.abc import Callable


def run(job: LimitJob) -> Limit:
    """Run one job in this process."""
    classify = classifier(job)
    pictures = [file.read_bytes() for file in sorted(Path(job.pictures).glob("*.jpg"))]
    stop = threading.Event()
    done: list[list[tuple[float, float]]] = [[] for _ in range(job.loops)]

    def loop(number: int) -> None:
        step, mine = number, done[number]
        began = time.perf_counter()
        while not stop.is_set():
            classify(pictures[step % len(pictures)])
            step += job.loops
            ended = time.perf_counter()
            mine.append((ended, ended - began))
            began = ended

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(job.loops)]
    for thread in threads:
        thread.start()
    time.sleep(job.warmup)
    begin, cpu = time.perf_counter(), time.process_time()
    time.sleep(job.seconds)
    end, cpu = time.perf_counter(), time.process_time() - cpu
    stop.set()
    for thread in threads:
        thread.join()
    ordered = sorted(seconds for mine in done for ended, seconds in mine if begin <= ended < end)
    return Limit(
        seconds=end - begin,
        answers=len(ordered),
        p50=1000 * percentile(ordered, 50),
        p95=1000 * percentile(ordered, 95),
        p99=1000 * percentile(ordered, 99),
        cpu_seconds=cpu,
    )


def classifier(job: LimitJob) -> Callable[[bytes], object]:
    """Return a function from JPEG bytes to the five most likely classes, made only of the runtime's stages."""
    malloc.configure(arenas=2)  # as `serve` does
    model = model_folder.load(Path(job.folder))
    preprocessing = model.preprocessing
    session = open_session(Path(job.graph), input_size=preprocessing.crop[0], threads=job.session_threads)

    def classify(data: bytes) -> object:
        header = image_headers.read(data)
        scores = session.run(preprocess(decode(header), header.orientation, preprocessing))[0]
        return top(scores, model.labels, 5, logits=not session.gives_probabilities)

    return classify


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(run(LimitJob(**json.load(sys.stdin))))))
