"""Classifies the photographs one after the other; if one fails, the others are still classified."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imageclassifier_runtime.classify_command import show
from imageclassifier_runtime.classify_command.arguments import KEY_VARIABLE
from imageclassifier_runtime.classify_command.problem import FailedError, UnreachableError
from imageclassifier_runtime.errors import ModelError, SettingsError, error_text
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.environment import PREFIX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from imageclassifier_runtime.classify_command.problem import Classification

STDIN = "-"
_USAGE_ERROR = 2


class Classifier(Protocol):
    """A local model or a remote server."""

    max_bytes: int
    """The maximum number of bytes to read of a file."""

    def classify(self, data: bytes, top_k: int) -> Classification:
        """Return the `top_k` most likely classes in the form of the server's response; raises FailedError."""


def main(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Classify and print; returns 0, 1 if a photograph or the model failed, 2 for invalid settings."""
    try:
        classifier = _classifier(arguments, env)
    except SettingsError as error:
        return _print_error(f"error: {error}", _USAGE_ERROR)
    except ModelError as error:
        return _print_error(f"error: {error.message}", 1)
    status = 0
    for index, name in enumerate(arguments.photos):
        try:
            result = classifier.classify(_read(name, classifier.max_bytes), arguments.top_k)
        except UnreachableError as error:
            return _print_error(f"error: {error.detail}", 1)
        except FailedError as error:
            status = 1
            _print_failure(name, error, as_json=arguments.json)
            continue
        if arguments.json:
            print(json.dumps({"photo": name, **result}, ensure_ascii=False), flush=True)
        else:
            print(show.block(name, result, first=index == 0, ascii_only=_ascii_only()), flush=True)
    return status


def _classifier(arguments: argparse.Namespace, env: Mapping[str, str]) -> Classifier:
    if arguments.url:
        if arguments.precision:
            raise SettingsError("--precision applies to a model folder; a server sets its own precision")
        from imageclassifier_runtime.classify_command.remote import RemoteServer  # noqa: PLC0415

        key = env.get(KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"{KEY_VARIABLE} contains a character that is not allowed in an HTTP header")
        return RemoteServer(arguments.url, key=key)
    from imageclassifier_runtime.classify_command.local import LocalModel  # noqa: PLC0415 - imports onnxruntime

    env = {**env, f"{PREFIX}PRECISION": arguments.precision} if arguments.precision else env
    return LocalModel(ServeSettings.from_env(env, folder=arguments.model))


def _read(name: str, max_bytes: int) -> bytes:
    """Return the content of a file, up to one byte more than `max_bytes`; raises FailedError."""
    try:
        if name == STDIN:
            return sys.stdin.buffer.read(max_bytes + 1)
        with Path(name).open("rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise FailedError("file not found") from None
    except IsADirectoryError:
        raise FailedError("it is a folder: pass the photographs in it") from None
    except (OSError, ValueError) as error:
        raise FailedError(f"it cannot be read: {error_text(error)}") from None


def _print_failure(name: str, error: FailedError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"photo": name, "problem": error.problem()}, ensure_ascii=False), flush=True)
    else:
        sys.stdout.flush()
        print(f"{show.plain(show.title(name))}: {show.plain(error.text())}", file=sys.stderr, flush=True)


def _print_error(text: str, status: int) -> int:
    print(show.plain(text), file=sys.stderr)
    return status


def _ascii_only() -> bool:
    """Return whether standard output cannot encode the block characters of the bars."""
    try:
        show.BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
