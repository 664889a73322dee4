"""The in-process limit: from JPEG bytes to the top five in a plain loop of threads, with the runtime's own stages.

    python -m runtime.bench.limit < job.json > result.json

No HTTP, no queue, no event loop, no log: what the server's own decode, preprocess and session functions could do
on these cores if serving were free. Several loops share a session that uses one thread for each call; one loop
alone has a session that uses all the threads there are.
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
    """Do one job in this process."""
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
    """Return the function from JPEG bytes to the five likeliest classes, made of the runtime's stages alone."""
    malloc.configure(arenas=2)  # as `serve` does
    model = model_folder.load(Path(job.folder))
    how = model.preprocessing
    session = open_session(Path(job.graph), input_size=how.crop[0], threads=job.session_threads)

    def classify(data: bytes) -> object:
        header = image_headers.read(data)
        scores = session.run(preprocess(decode(header), header.orientation, how))[0]
        return top(scores, model.labels, 5, logits=not session.gives_probabilities)

    return classify


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(run(LimitJob(**json.load(sys.stdin))))))
