"""The command line: `imageclassifier serve`, `classify`, `fetch`, `digest` and `quantize`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from imageclassifier_runtime import __version__, logs
from imageclassifier_runtime.classify_command import arguments as classify_arguments
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.quantize import arguments as quantize_arguments
from imageclassifier_runtime.settings.commands import (
    TERMINATION_LOG,
    FetchSettings,
    ServeSettings,
    fetch_settings,
    serve_settings,
)
from imageclassifier_runtime.settings.environment import PREFIX
from imageclassifier_runtime.system import termination

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    # These two run at a terminal, not in a pod: their output is text.
    if options.command == "quantize":
        return quantize_arguments.run(options)
    if options.command == "classify":
        return classify_arguments.run(options)
    logs.configure()
    # As PID 1 in a container the process would ignore SIGTERM by default.
    signal.signal(signal.SIGTERM, _terminated)
    env = dict(os.environ)
    env.update(
        {PREFIX + name[4:]: value for name, value in vars(options).items() if name.startswith("env_") and value}
    )
    try:
        if options.command == "digest":
            return _digest(options.path)
        if options.command == "fetch":
            from imageclassifier_runtime.fetch import run as fetch_run  # noqa: PLC0415 - imports onnx

            return fetch_run.main(FetchSettings.from_env(env))
        from imageclassifier_runtime import serve  # noqa: PLC0415

        return serve.main(ServeSettings.from_env(env, folder=options.model))
    except SettingsError as error:
        logging.getLogger(__name__).error("Settings: %s", error)  # noqa: TRY400 - written for people
        log_file = Path(env.get(f"{PREFIX}TERMINATION_LOG") or TERMINATION_LOG)
        termination.write(log_file, {"reason": error.reason, "message": str(error)})
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imageclassifier",
        description="Serve an image classifier over HTTP.",
        epilog=f"Every flag is also an environment variable: --model-dir is {PREFIX}MODEL_DIR.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a model over HTTP; the bundled model by default")
    serve.add_argument("--model", type=Path, metavar="FOLDER", help="the model folder (the same as --model-dir)")
    classify = commands.add_parser("classify", help="print the most likely classes of photographs")
    classify_arguments.add(classify)
    fetch = commands.add_parser("fetch", help="download a model, verify it, and place it in the model folder")
    digest = commands.add_parser("digest", help="print the digest of a model file or folder that `fetch` verifies")
    digest.add_argument("path", type=Path)
    quantize = commands.add_parser("quantize", help="create a model folder with an additional int8 graph")
    quantize_arguments.add(quantize)
    for command, settings in ((serve, serve_settings()), (fetch, fetch_settings())):
        for setting in settings:
            if setting.flag:
                name = setting.variable
                flag = "--" + name.lower().replace("_", "-")
                command.add_argument(flag, dest=f"env_{name}", metavar=name.rsplit("_", 1)[-1], help=setting.help)
    return parser


def _digest(path: Path) -> int:
    from imageclassifier_runtime.model import digest  # noqa: PLC0415

    if not path.exists():
        raise SettingsError(f"{path} does not exist")
    print(digest.of_folder(path) if path.is_dir() else digest.of_file(path))
    return 0


def _terminated(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
