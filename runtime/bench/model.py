"""Writes the model folder of a run: a copy with the labels and the preprocessing that the server would add.

    python -m runtime.bench.model OUT [FILE_OR_FOLDER]

So the baseline reads the same two files, and the server's own folder stays as it was.
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
            raise BenchError("this build has no bundled model: name one with --model")
    workload.copy_folder(source, out)
    model = model_folder.load(out)
    how = model.preprocessing
    if how.shortest_edge is None or how.resample != 2:
        raise BenchError("the baseline knows only a short side, bilinear, and a centre crop")
    (out / model_folder.CONFIG).write_text(how.to_json())
    (out / model_folder.LABELS).write_text("".join(f"{label}\n" for label in model.labels))
    return source.stem if source.is_file() else source.name


def main() -> None:
    """Do it, and say which model it is, as JSON."""
    out, *source = (Path(argument) for argument in sys.argv[1:])
    try:
        print(json.dumps({"name": write(out, source[0] if source else None)}))
    except (BenchError, ModelError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
