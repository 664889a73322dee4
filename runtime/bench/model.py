"""Writes the model folder of a run: a copy, completed with the server's default labels and preprocessing.

    python -m runtime.bench.model OUT [FILE_OR_FOLDER]

The baseline then reads the same labels and preprocessing, and the source folder is unchanged.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imageclassifier_runtime.errors import ModelError
from imageclassifier_runtime.model import folder as model_folder

from runtime.bench import workload
from runtime.bench.errors import BenchError


def write(out: Path, source: Path | None) -> str:
    """Write the folder and return the model's name; raises BenchError, ModelError."""
    if source is None:
        source = model_folder.bundled(model_folder.BUNDLED_NAME)
        if source is None:
            raise BenchError("this build has no bundled model: pass one with --model")
    workload.copy_folder(source, out)
    model = model_folder.load(out)
    preprocessing = model.preprocessing
    if preprocessing.shortest_edge is None or preprocessing.resample != 2:
        raise BenchError("the baseline supports only shortest_edge, bilinear resampling and a centre crop")
    (out / model_folder.CONFIG).write_text(preprocessing.to_json())
    (out / model_folder.LABELS).write_text("".join(f"{label}\n" for label in model.labels))
    return source.stem if source.is_file() else source.name


def main() -> None:
    """Write the folder and print the model's name as JSON."""
    out, *source = (Path(argument) for argument in sys.argv[1:])
    try:
        print(json.dumps({"name": write(out, source[0] if source else None)}))
    except (BenchError, ModelError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
