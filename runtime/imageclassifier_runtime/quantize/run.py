"""Runs `imageclassifier quantize`: calibrates, searches, evaluates, and writes the folder or rejects the graph."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import ModelError, SettingsError
from imageclassifier_runtime.inference import decode
from imageclassifier_runtime.inference.session import open_session
from imageclassifier_runtime.model import digest, quantization
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.quantize import calibrate, pictures, report
from imageclassifier_runtime.quantize.convert import prepare
from imageclassifier_runtime.quantize.search import Material, search
from imageclassifier_runtime.settings.commands import ServeSettings

if TYPE_CHECKING:
    from imageclassifier_runtime.model.folder import ModelFolder
    from imageclassifier_runtime.quantize.search import Candidate


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """The command's options; `calibrate` is a number of pictures, or a file that lists them."""

    folder: Path
    pictures: Path
    out: Path
    labels: Path | None = None
    labels_from_folders: bool = False
    calibrate: int | Path = 100
    judge: int = 1000
    seed: int = 0
    min_agreement: float = 0.975
    min_speedup: float = 1.0


def main(options: QuantizeOptions) -> int:
    """Quantize and print the report; returns 0 if a graph was accepted, 1 if rejected, 2 for errors."""
    try:
        return quantize(options)
    except SettingsError as error:
        print(f"imageclassifier quantize: {error}", file=sys.stderr)
        return 2
    except ModelError as error:
        print(f"imageclassifier quantize: {error.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def quantize(options: QuantizeOptions) -> int:
    """Run the command; returns 0 or 1, raises SettingsError, ModelError."""
    _check_output_folder(options)
    decode.configure(ServeSettings.max_image_pixels)
    model = model_folder.load(options.folder)
    calibration, judging = pictures.split(
        _labelled(options, model), calibrate=options.calibrate, judge=options.judge, seed=options.seed
    )
    with tempfile.TemporaryDirectory(prefix="quantize-") as scratch:
        workspace, preprocessing = Path(scratch), model.preprocessing
        _log(f"{len(calibration)} pictures for calibration, {len(judging)} others for evaluation")
        material = _material(
            model,
            pictures.prepare(options.pictures, calibration, preprocessing, workspace / "calibration.npy"),
            pictures.prepare(options.pictures, judging, preprocessing, workspace / "judging.npy"),
            workspace,
        )
        skipped = (*material.calibration.skipped, *material.judging.skipped)
        for line in skipped:
            _log(f"skipped: {line}")
        chosen, tried = search(material, min_speedup=options.min_speedup, report=_log)
        print(report.table(tried, chosen))
        if chosen is None:
            _log(f"rejected: no int8 graph is {options.min_speedup:g} times as fast as fp32 on this machine")
            return 1
        print("\n".join(report.summary(chosen.agreement, options.min_agreement)))
        if chosen.agreement.share < options.min_agreement:
            _log("rejected: too few pictures get the same class; nothing was written")
            return 1
        _write(options, model, material, chosen, report.to_json(tried, chosen, skipped))
    print(f"{options.out}: accepted; digest of the folder: {digest.of_folder(options.out)}")
    return 0


def _material(
    model: ModelFolder, calibration: pictures.Prepared, judging: pictures.Prepared, workspace: Path
) -> Material:
    fp32 = open_session(model.graph, input_size=model.preprocessing.crop[0], threads=1)
    prepared = prepare(model.graph, workspace)
    return Material(
        prepared=prepared,
        histograms=calibrate.histograms(prepared, calibration.batch, workspace),
        fp32=fp32,
        calibration=calibration,
        judging=judging,
        workspace=workspace,
    )


def _labelled(options: QuantizeOptions, model: ModelFolder) -> list[pictures.Picture]:
    found = pictures.find(options.pictures)
    if options.labels is not None:
        return pictures.label_by_file(found, options.labels, model.labels)
    return pictures.label_by_folder(found, model.labels) if options.labels_from_folders else found


def _check_output_folder(options: QuantizeOptions) -> None:
    """Raise SettingsError before any work if the files in the output folder would be inconsistent afterwards."""
    if not options.out.exists():
        return
    if not options.out.is_dir():
        raise SettingsError(f"--out {options.out} is not a folder")
    if options.out.samefile(options.folder):
        if (options.folder / model_folder.INFO).exists():
            raise SettingsError(
                f"{options.folder} was written by `imageclassifier fetch`, and its {model_folder.INFO} contains "
                "the digest of the current files: give another --out"
            )
    elif any(options.out.iterdir()):
        raise SettingsError(f"--out {options.out} is not empty: give a new folder, or the model folder itself")


def _write(
    options: QuantizeOptions, model: ModelFolder, material: Material, chosen: Candidate, document: str
) -> None:
    """Write the folder. The record is written last, because an int8 graph is served only with its record."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    if not out.samefile(options.folder):
        for name in (model_folder.GRAPH, model_folder.LABELS, model_folder.CONFIG):
            if (options.folder / name).is_file():
                shutil.copyfile(options.folder / name, out / name)
    record = report.record(
        chosen,
        required=options.min_agreement,
        digests=(
            digest.of_file(model.graph),
            digest.of_file(chosen.graph),
            quantization.preprocessing_digest(model.preprocessing),
        ),
        calibration=len(material.calibration.pictures),
        seed=options.seed,
    )
    (out / quantization.RECORD_FILE).unlink(missing_ok=True)
    _replace(out / quantization.INT8_GRAPH, chosen.graph.read_bytes())
    _replace(out / report.REPORT, document.encode())
    _replace(out / quantization.RECORD_FILE, record.to_json().encode())


def _replace(file: Path, content: bytes) -> None:
    """Write a file atomically."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.write_bytes(content)
    os.replace(unfinished, file)  # noqa: PTH105 - the return value of Path.replace is not needed


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
