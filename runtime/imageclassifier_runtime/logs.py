"""Log lines on stdout: JSON for machines, still readable in `kubectl logs`; plain text at a terminal."""

from __future__ import annotations

import datetime
import functools
import json
import logging
import math
import os
import select
import stat
import sys
import time
from abc import ABC, abstractmethod
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_FIELDS = "fields"
_encode = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":")).encode


@functools.cache
def _name(level: int) -> str:
    return logging.getLevelName(level).lower()


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else _encode(value)


# `_encode` takes most of its time to prepare itself; what nearly all fields are needs none of that.
_ENCODERS: dict[type, Callable[[Any], str]] = {str: encode_basestring, int: int.__repr__, float: _number}


class LineFormatter(logging.Formatter, ABC):
    """Makes a line of its parts, so that one that comes from `log` needs no record."""

    @abstractmethod
    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, object], exception: str | None = None
    ) -> str:
        """Return one line, or more for an exception. Names of fields are ours and need no escaping."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record and of the fields given with it."""
        exception = self.formatException(record.exc_info) if record.exc_info else None
        fields = getattr(record, _FIELDS, {})
        return self.line(record.created, record.levelno, record.getMessage(), fields, exception)


class JsonFormatter(LineFormatter):
    """Renders a line as one JSON object; anything that is not JSON is shown as its text."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (-1, "")

    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, object], exception: str | None = None
    ) -> str:
        """Return one line."""
        second, microseconds = divmod(round(1e6 * created), 1_000_000)
        known, date = self._second
        if second != known:
            date = datetime.datetime.fromtimestamp(second, datetime.UTC).isoformat().removesuffix("+00:00")
            self._second = (second, date)
        time_and_level = f'"time":"{date}.{microseconds // 1000:03}Z","level":"{_name(level)}"'
        parts = [f'{{{time_and_level},"message":{encode_basestring(message)}']
        for name, value in fields.items():
            parts.append(f',"{name}":{_ENCODERS.get(type(value), _encode)(value)}')
        if exception:
            parts.append(f',"exception":{encode_basestring(exception)}')
        return "".join(parts) + "}"


class TextFormatter(LineFormatter):
    """Renders a line for a person at a terminal: the time of day, the message, and the fields after it."""

    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, object], exception: str | None = None
    ) -> str:
        """Return one line, or more for an exception."""
        moment = datetime.datetime.fromtimestamp(created).astimezone()
        mark = "" if level <= logging.INFO else f"{_name(level)}: "
        named = "".join(f"  {name}={value}" for name, value in fields.items())
        text = f"{moment:%H:%M:%S}  {mark}{message}{named}"
        text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
        return f"{text}\n{exception}" if exception else text


class Handler(logging.StreamHandler[TextIO]):
    """Writes lines, and leaves out those that would have to wait for a reader.

    A pipe that nobody reads (the container runtime restarts, say) fills up after 64 KiB; to wait for it would stop
    the event loop, and the liveness probe with it. How many lines were left out is said once there is room again.
    Of a long line the beginning alone may find room: the rest is left out, and what follows begins a new line.
    """

    def __init__(self, stream: TextIO, formatter: LineFormatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._line = formatter.line
        self._left_out = 0
        self._torn = False
        self._encoding = stream.encoding or "utf-8", stream.errors or "strict"
        self._file, self._poll, self._granted = _ways(stream)
        # Of what was granted when the stream was asked last, so many bytes were not used since.
        self._room = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, if the stream takes it at once."""
        try:
            self._put((self.format(record) + self.terminator).encode(*self._encoding))
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - as every handler of `logging`: whoever logs is not failed for it
            self.handleError(record)

    def info(self, message: str, fields: Mapping[str, object]) -> None:
        """Do what `handle` does with such a record, without one: a record takes as long as all the rest."""
        assert self.lock is not None
        with self.lock:
            try:
                self._put(self._data(logging.INFO, message, fields))
            except (OSError, ValueError):  # as with a record: told on stderr, and no fault of who has logged
                self.handleError(logging.LogRecord(__name__, logging.INFO, "", 0, message, None, None))

    def _data(self, level: int, message: str, fields: Mapping[str, object]) -> bytes:
        return (self._line(time.time(), level, message, fields) + self.terminator).encode(*self._encoding)

    def _put(self, data: bytes) -> None:
        """Write a line; it counts as left out where the stream does not take all of it at once."""
        if self._poll is None:
            self._write(data)
        elif len(data) <= self._room:
            self._room -= len(data)
            self._write(data)
        elif not self._poll.poll(0):
            self._room = 0
            self._left_out += 1
        elif self._left_out:
            self._tell()
            self._put(data)
        else:
            self._put_pieces(data, self._poll)

    def _put_pieces(self, data: bytes, poll: select.poll) -> None:
        """Write a line that has room, or whose first piece has: none is longer than what is granted at once."""
        size = self._granted or len(data)
        while True:
            self._room = max(0, self._granted - len(data))
            self._write(data[:size])
            data = data[size:]
            if not data:
                return
            if not poll.poll(0):
                self._torn = True
                self._left_out += 1
                return

    def _tell(self) -> None:
        """Say how many lines were left out, below what there is of the last one."""
        note = self._data(logging.WARNING, "Log lines were left out: nobody read them", {"lines": self._left_out})
        note = b"\n" + note if self._torn else note
        self._left_out, self._torn = 0, False
        self._room = max(0, self._granted - len(note))
        self._write(note)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self.stream.write(data.decode(*self._encoding))
            self.stream.flush()
            return
        while data:  # a signal can cut a long line in two
            data = data[os.write(self._file, data) :]


def _ways(stream: TextIO) -> tuple[int | None, select.poll | None, int]:
    """Return a stream's file, what tells whether it takes anything, and how many bytes it takes then for sure."""
    try:
        file = stream.fileno()
    except (OSError, ValueError):  # there is no file behind it, and nothing to wait for
        return None, None, 0
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return file, None, 0
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    # A pipe that can be written to takes so much without anybody reading (POSIX); nobody but us writes to stdout.
    return file, poll, select.PIPE_BUF if stat.S_ISFIFO(mode) else 0


def configure(level: int = logging.INFO) -> None:
    """Send every logger to stdout, as text to a terminal and else as JSON.

    uvicorn's own lines are among them, its access log is not.
    """
    handler = Handler(sys.stdout, TextFormatter() if sys.stdout.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What no line shows need not be found out for each (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def log(logger: logging.Logger, message: str, **fields: object) -> None:
    """Log at info level with named fields."""
    info(logger, message, fields)


def info(logger: logging.Logger, message: str, fields: Mapping[str, object]) -> None:
    """Log at info level with fields, without a record where nobody but our handler would see it."""
    if not logger.isEnabledFor(logging.INFO):
        return
    handler = _alone(logger)
    if handler is None:
        logger.info(message, extra={_FIELDS: fields})
    else:
        handler.info(message, fields)


def warn(logger: logging.Logger, message: str, **fields: object) -> None:
    """Log at warning level with named fields."""
    logger.warning(message, extra={_FIELDS: fields})


def _alone(logger: logging.Logger) -> Handler | None:
    """Return our handler where it is all that a line of this logger meets on its way."""
    if logger.filters:
        return None
    found: Handler | None = None
    step: logging.Logger | None = logger
    while step is not None:
        for handler in step.handlers:
            if found is not None or not isinstance(handler, Handler):
                return None
            found = handler
        step = step.parent if step.propagate else None
    return None if found is None or found.filters or found.level > logging.INFO else found
