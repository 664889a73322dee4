"""Fills a folder with JPEG files of one size: photographs if there are any, else generated pictures.

    python -m runtime.bench.pictures OUT [--photographs FOLDER]

It runs in a separate process, because the driver must not share a library with the servers that it measures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, JpegImagePlugin

SIZE = (500, 375)
GENERATED = 48


def choose(photographs: Path, out: Path) -> int:
    """Link the photographs that are JPEG files of SIZE into `out`; return how many there are."""
    count = 0
    for file in sorted(photographs.iterdir()):
        if file.suffix.lower() not in {".jpg", ".jpeg"}:
            continue
        with Image.open(file) as image:
            if isinstance(image, JpegImagePlugin.JpegImageFile) and image.size == SIZE:
                (out / f"{file.stem}.jpg").symlink_to(file.resolve())
                count += 1
    return count


def generate(out: Path, count: int = GENERATED) -> int:
    """Write pictures that take as long to decode as photographs: soft shapes and fine grain, 100 KB each."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        shapes = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        grain = Image.fromarray(random.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        grain = grain.filter(ImageFilter.GaussianBlur(0.8))
        Image.blend(shapes, grain, 0.3).save(out / f"generated-{number:03}.jpg", quality=92)
    return count


def main() -> None:
    """Fill the folder and print its facts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photographs", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = choose(options.photographs, options.out) if options.photographs else 0
    kind = "photographs" if chosen else "generated pictures"
    count = chosen or generate(options.out)
    size = sum(file.stat().st_size for file in options.out.glob("*.jpg")) // count
    print(json.dumps({"kind": kind, "count": count, "width": SIZE[0], "height": SIZE[1], "mean_bytes": size}))


if __name__ == "__main__":
    main()
