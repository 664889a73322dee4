"""Asks about one photograph after the other; what fails for one of them leaves the others their answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imageclassifier_runtime.classify_command import show
from imageclassifier_runtime.classify_command.arguments import KEY_VARIABLE
from imageclassifier_runtime.classify_command.problem import FailedError, UnreachableError
from imageclassifier_runtime.errors import ModelError, SettingsError
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.environment import PREFIX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from imageclassifier_runtime.classify_command.problem import Answer

STDIN = "-"
_USAGE = 2


class Asker(Protocol):
    """Answers one photograph."""

    max_bytes: int
    """No more of a file than this is read."""

    def ask(self, data: bytes, count: int) -> Answer:
        """Return what the server's API would answer; raises FailedError."""


def main(given: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Ask and print; returns 0, 1 where a photograph has no answer or there is no model, 2 for wrong settings."""
    try:
        asker = _asker(given, env)
    except SettingsError as error:
        return _complain(f"error: {error}", _USAGE)
    except ModelError as error:
        return _complain(f"error: {error.message}", 1)
    status = 0
    for index, name in enumerate(given.photos):
        try:
            answer = asker.ask(_read(name, asker.max_bytes), given.top_k)
        except UnreachableError as error:
            return _complain(f"error: {error.detail}", 1)
        except FailedError as error:
            status = 1
            _fail(name, error, as_json=given.json)
            continue
        if given.json:
            print(json.dumps({"photo": name, **answer}, ensure_ascii=False), flush=True)
        else:
            print(show.block(name, answer, first=index == 0, ascii_only=_ascii_only()), flush=True)
    return status


def _asker(given: argparse.Namespace, env: Mapping[str, str]) -> Asker:
    if given.url:
        if given.precision:
            raise SettingsError("--precision goes with a model of one's own; a server has chosen its precision")
        from imageclassifier_runtime.classify_command.remote import Remote  # noqa: PLC0415

        key = env.get(KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"{KEY_VARIABLE} holds a character that an HTTP header cannot carry")
        return Remote(given.url, key=key)
    from imageclassifier_runtime.classify_command.local import Local  # noqa: PLC0415 - imports onnxruntime

    env = {**env, f"{PREFIX}PRECISION": given.precision} if given.precision else env
    return Local(ServeSettings.from_env(env, folder=given.model))


def _read(name: str, most: int) -> bytes:
    """Return a file, at most one byte more of it than is taken; raises FailedError."""
    try:
        if name == STDIN:
            return sys.stdin.buffer.read(most + 1)
        with Path(name).open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        raise FailedError("there is no such file") from None
    except IsADirectoryError:
        raise FailedError("it is a folder: name the photographs in it") from None
    except (OSError, ValueError) as error:
        raise FailedError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _fail(name: str, error: FailedError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"photo": name, "problem": error.problem()}, ensure_ascii=False), flush=True)
    else:
        sys.stdout.flush()
        print(f"{show.plain(show.title(name))}: {show.plain(error.text())}", file=sys.stderr, flush=True)


def _complain(text: str, status: int) -> int:
    print(show.plain(text), file=sys.stderr)
    return status


def _ascii_only() -> bool:
    """Return whether the bars have to be drawn without block characters."""
    try:
        show.BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False
