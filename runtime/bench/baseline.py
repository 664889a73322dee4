"""The baseline: a classifier with FastAPI as written in tutorials, correct, with default settings.

    BENCH_MODEL_DIR=FOLDER uvicorn runtime.bench.baseline:app

It uses `UploadFile`, Pillow to open, convert, resize and crop, NumPy to normalise, one ONNX Runtime session and
one uvicorn worker. Tutorials write the endpoint with `async def` or with `def`; this module has both, and the
faster one is compared. Nothing in it is slow on purpose, and it does not use `imageclassifier_runtime`.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, UploadFile
from PIL import Image

FOLDER = Path(os.environ["BENCH_MODEL_DIR"])
CONFIG = json.loads((FOLDER / "preprocessor_config.json").read_text())
RESIZE = CONFIG["size"]["shortest_edge"]
CROP = CONFIG["crop_size"]["height"]
MEAN = np.array(CONFIG["image_mean"], dtype=np.float32)
STD = np.array(CONFIG["image_std"], dtype=np.float32)
LABELS = (FOLDER / "labels.txt").read_text().splitlines()

session = ort.InferenceSession(FOLDER / "model.onnx")
input_name = session.get_inputs()[0].name
app = FastAPI()


def preprocess(image: Image.Image) -> Any:
    """Return [1, 3, CROP, CROP] float32: short side to RESIZE, centre crop, normalised."""
    width, height = image.size
    short = min(width, height)
    image = image.resize((RESIZE * width // short, RESIZE * height // short), Image.Resampling.BILINEAR)
    left = (image.width - CROP) // 2
    top = (image.height - CROP) // 2
    image = image.crop((left, top, left + CROP, top + CROP))
    array = np.asarray(image, dtype=np.float32) / 255.0
    array = (array - MEAN) / STD
    return array.transpose(2, 0, 1)[np.newaxis, :]


def classify(data: bytes) -> dict[str, Any]:
    """Return the five most likely classes."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    logits = session.run(None, {input_name: preprocess(image)})[0][0]
    exponentials = np.exp(logits - np.max(logits))
    probabilities = exponentials / exponentials.sum()
    top = np.argsort(probabilities)[::-1][:5]
    return {
        "predictions": [
            {"class_id": int(i), "class_name": LABELS[i], "probability": float(probabilities[i])} for i in top
        ]
    }


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, Any]:
    """Classify on the event loop, as most tutorials do."""
    return classify(await file.read())


@app.post("/predict-sync")
def predict_sync(file: UploadFile) -> dict[str, Any]:
    """Classify in FastAPI's thread pool."""
    return classify(file.file.read())
