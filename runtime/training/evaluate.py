"""Measures the top-1 accuracy of a model on JPEG files, with the runtime's own stages or a running server.

`python -m training.evaluate --pictures cifar10-jpeg.tar.xz` uses the bundled model; the pictures are the
archive's test split, or a folder <class>/*.jpg. With `--url http://host:port` each file is posted there instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from training.dataset import CLASSES, DatasetError, read_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Classify = Callable[[bytes], str]

BUNDLED = Path(__file__).resolve().parents[1] / "imageclassifier_runtime" / "bundled" / "cifar10-mobilenet-v2"
PATH = "/api/v1/classify?top_k=1"
ATTEMPTS = 20


class ResponseError(RuntimeError):
    """The server did not classify a picture."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A JPEG file and its true class."""

    name: str
    label: str
    jpeg: bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The numbers of pictures and of correct ones by class, and the confusions."""

    total: Counter[str]
    right: Counter[str]
    confused: Counter[tuple[str, str]]

    @property
    def top1(self) -> float:
        """The share of correct predictions."""
        return self.right.total() / self.total.total()

    def lines(self) -> list[str]:
        """The report as text lines."""
        names = sorted(self.total)
        rows = [
            f"{name:12} {self.right[name]:5} of {self.total[name]:5}  {self.right[name] / self.total[name]:7.2%}"
            for name in names
        ]
        errors = [
            f"{label} classified as {found}: {count}" for (label, found), count in self.confused.most_common(5)
        ]
        return [*rows, f"{'top-1':12} {self.right.total():5} of {self.total.total():5}  {self.top1:7.2%}", *errors]


def count(answers: Iterable[tuple[str, str]]) -> Report:
    """Count pairs of true and predicted class."""
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    confused: Counter[tuple[str, str]] = Counter()
    for label, found in answers:
        total[label] += 1
        if label == found:
            right[label] += 1
        else:
            confused[label, found] += 1
    if not total:
        raise DatasetError("there are no pictures to evaluate")
    return Report(total=total, right=right, confused=confused)


def read_pictures(source: Path) -> list[Picture]:
    """The test split of an archive, or a folder's <class>/*.jpg, sorted by name."""
    if source.is_dir():
        files = sorted(path for path in source.glob("*/*") if path.suffix.lower() in {".jpg", ".jpeg"})
        found = [Picture(name=str(path), label=path.parent.name, jpeg=path.read_bytes()) for path in files]
    else:
        examples = read_examples(source, "test")
        found = [Picture(name=item.name, label=CLASSES[item.label], jpeg=item.jpeg) for item in examples]
    if not found:
        raise DatasetError(f"{source} has no <class>/*.jpg")
    return found


def sample(pictures: Sequence[Picture], size: int | None, seed: int) -> list[Picture]:
    """A random sample of that size, the same for the same seed; all pictures if `size` is None."""
    return list(pictures) if size is None else random.Random(seed).sample(list(pictures), size)  # noqa: S311


def from_folder(model: Path, precision: str = "FP32") -> Classify:
    """A function that classifies a file as the server does, with the model of a folder."""
    from imageclassifier_runtime.inference import image_headers  # noqa: PLC0415
    from imageclassifier_runtime.inference.pipeline import Classifier  # noqa: PLC0415
    from imageclassifier_runtime.model import folder  # noqa: PLC0415 - not needed to measure a server

    classifier = Classifier.load(folder.load(model, precision=precision), threads=1)
    return lambda jpeg: classifier.classify(image_headers.read(jpeg), 1).predictions[0].class_name


def from_server(url: str) -> Classify:
    """A function that posts a file to a running server; each thread keeps its own connection."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise SystemExit(f"{url}: expected http://host:port")
    local = threading.local()

    def classify(jpeg: bytes) -> str:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)
        return _post(local.connection, parts.path.rstrip("/") + PATH, jpeg)

    return classify


def _post(connection: http.client.HTTPConnection, path: str, jpeg: bytes) -> str:
    for _ in range(ATTEMPTS):
        connection.request("POST", path, jpeg, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        body = response.read()
        if response.status == http.HTTPStatus.OK:
            return str(json.loads(body)["predictions"][0]["class_name"])
        if response.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
            raise ResponseError(f"{response.status}: {body[:500]!r}")
        time.sleep(float(response.headers.get("Retry-After", "1")))
    raise ResponseError(f"still busy after {ATTEMPTS} attempts")


def main() -> None:
    """Read the arguments, measure, print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="archive, or folder of <class>/*.jpg")
    parser.add_argument("--model", type=Path, default=BUNDLED, help="model folder (default: the bundled one)")
    parser.add_argument("--precision", choices=("FP32", "INT8", "Auto"), default="FP32", help="the graph to use")
    parser.add_argument("--url", help="measure this server instead, for example http://127.0.0.1:8080")
    parser.add_argument("--threads", type=int, default=4, help="number of concurrent requests (default: 4)")
    parser.add_argument("--sample", type=int, help="evaluate a random sample of that many pictures")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the sample (default: 0)")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 if top-1 is less, 0 to 1")
    arguments = parser.parse_args()
    pictures = sample(read_pictures(arguments.pictures), arguments.sample, arguments.seed)
    classify = from_server(arguments.url) if arguments.url else from_folder(arguments.model, arguments.precision)
    started = time.monotonic()
    with ThreadPoolExecutor(arguments.threads) as pool:
        found = list(pool.map(classify, (picture.jpeg for picture in pictures)))
    report = count(zip((picture.label for picture in pictures), found, strict=True))
    print("\n".join(report.lines()))
    print(
        f"{len(pictures)} pictures in {time.monotonic() - started:.0f} s from {arguments.url or arguments.model}"
    )
    raise SystemExit(report.top1 < arguments.at_least)


if __name__ == "__main__":
    main()
