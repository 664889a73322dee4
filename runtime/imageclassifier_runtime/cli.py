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
from imageclassifier_runtime.settings.commands import TERMINATION_LOG, FetchSettings, ServeSettings
from imageclassifier_runtime.settings.environment import PREFIX
from imageclassifier_runtime.system import termination

if TYPE_CHECKING:
    from collections.abc import Sequence

# Flag, environment variable without its prefix, help.
_SHARED = (
    ("--model-dir", "MODEL_DIR", "folder that `fetch` writes and `serve` reads"),
    ("--model-name", "MODEL_NAME", "the model's name in answers and metrics"),
    ("--precision", "PRECISION", "FP32, INT8, or Auto: int8 where the model folder holds it (default: FP32)"),
)
_SERVE = (
    ("--host", "HOST", "address to listen on (default: 127.0.0.1, this machine alone; * for all)"),
    ("--port", "PORT", "port to listen on (default: 8080; 0 picks a free one)"),
    ("--max-image-bytes", "MAX_IMAGE_BYTES", "largest image in bytes (default: 10485760)"),
    ("--max-image-pixels", "MAX_IMAGE_PIXELS", "largest image in pixels (default: 25000000)"),
    ("--max-queue-size", "MAX_QUEUE_SIZE", "requests that may wait (default: 64)"),
    ("--max-batch-size", "MAX_BATCH_SIZE", "images in one inference at most (default: 1, no batching)"),
    (
        "--max-queue-delay-milliseconds",
        "MAX_QUEUE_DELAY_MILLISECONDS",
        "how long an image waits for others to fill its batch (default: 2)",
    ),
    ("--drain-seconds", "DRAIN_SECONDS", "how long to go on answering after SIGTERM (default: 10)"),
    ("--cache-max-bytes", "CACHE_MAX_BYTES", "room for results by content hash (default: 0, which keeps none)"),
    ("--cache-redis-url", "CACHE_REDIS_URL", "redis(s)://host[:port][/number] that keeps results too"),
    ("--threads", "THREADS", "workers (default: the CPU quota, rounded up)"),
    ("--api-keys-path", "API_KEYS_PATH", "file with one API key a line, or folder of them (default: none needed)"),
    ("--rate-limit", "RATE_LIMIT", "requests a second for each key, or else each address (default: no limit)"),
    ("--rate-limit-burst", "RATE_LIMIT_BURST", "requests at once (default: those of one second)"),
    ("--trusted-proxies", "TRUSTED_PROXIES", "networks whose forwarded headers are believed (default: none)"),
)
_FETCH = (
    (
        "--model-uri",
        "MODEL_URI",
        (
            "a file or, ending in a slash, a folder: http(s)://…, s3://bucket/…, hf://owner/repo@commit[/…], "
            "pvc://claim/…, file:///…; or bundled:NAME. Several are tried in order"
        ),
    ),
    ("--model-sha256", "MODEL_SHA256", "the digest that the model must have"),
    ("--max-model-bytes", "MAX_MODEL_BYTES", "largest model in bytes (default: 536870912)"),
    ("--fetch-timeout-seconds", "FETCH_TIMEOUT_SECONDS", "for all attempts together (default: 600)"),
    ("--file-roots", "FILE_ROOTS", "folders that file:// may read from, separated by colons (default: none)"),
    ("--s3-endpoint", "S3_ENDPOINT", "http(s)://host[:port] of a store other than AWS"),
    ("--s3-region", "S3_REGION", "region of the bucket (default: us-east-1)"),
    ("--s3-addressing", "S3_ADDRESSING", "where the bucket goes: path, virtual (the host name) or auto"),
    ("--hf-endpoint", "HF_ENDPOINT", "http(s)://host of another hub (default: https://huggingface.co)"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    # These two are for people at a terminal, not for a pod: what they say is text.
    if options.command == "quantize":
        return quantize_arguments.run(options)
    if options.command == "classify":
        return classify_arguments.run(options)
    logs.configure()
    # As PID 1 in a container a process has no default action for SIGTERM: it would be ignored.
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
    serve = commands.add_parser("serve", help="answer requests; without a model folder, with the bundled model")
    serve.add_argument("--model", type=Path, metavar="FOLDER", help="the model folder (the same as --model-dir)")
    classify = commands.add_parser("classify", help="print the likeliest classes of photographs")
    classify_arguments.add(classify)
    fetch = commands.add_parser("fetch", help="get a model, check it, and place it in the model folder")
    digest = commands.add_parser("digest", help="print the digest of a model file or folder, as `fetch` checks it")
    digest.add_argument("path", type=Path)
    quantize = commands.add_parser("quantize", help="make a model folder that also holds an int8 graph, measured")
    quantize_arguments.add(quantize)
    for command, flags in ((serve, _SHARED + _SERVE), (fetch, _SHARED + _FETCH)):
        for flag, name, text in flags:
            command.add_argument(flag, dest=f"env_{name}", metavar=name.rsplit("_", 1)[-1], help=text)
    return parser


def _digest(path: Path) -> int:
    from imageclassifier_runtime.model import digest  # noqa: PLC0415

    if not path.exists():
        raise SettingsError(f"{path} does not exist")
    print(digest.of_folder(path) if path.is_dir() else digest.of_file(path))
    return 0


def _terminated(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)
