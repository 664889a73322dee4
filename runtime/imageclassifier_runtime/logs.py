"""Writes log lines to stdout: JSON, readable in `kubectl logs`, or plain text if stdout is a terminal."""

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


# `_encode` spends most of its time on set-up, which the most common types of values do not need.
_ENCODERS: dict[type, Callable[[Any], str]] = {str: encode_basestring, int: int.__repr__, float: _number}


class LineFormatter(logging.Formatter, ABC):
    """Formats a line from its parts, so that `log` needs no LogRecord."""

    @abstractmethod
    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, object], exception: str | None = None
    ) -> str:
        """Return one line, or several for an exception. Field names come from this project and are not escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record and its fields."""
        exception = self.formatException(record.exc_info) if record.exc_info else None
        fields = getattr(record, _FIELDS, {})
        return self.line(record.created, record.levelno, record.getMessage(), fields, exception)


class JsonFormatter(LineFormatter):
    """Formats a line as one JSON object; values that JSON cannot represent are converted with `str`."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (-1, "")

    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, object], exception: str | None = None
    ) -> str:
        """Return one line."""
        second, microseconds = divmod(round(1e6 * created), 1_000_000)
        previous, date = self._second
        if second != previous:
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
    """Formats a line for a terminal: the time of day, the message, and the fields."""

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
    """Writes lines without blocking: lines that the stream does not accept immediately are dropped and counted.

    A pipe without a reader (for example while the container runtime restarts) is full after 64 KiB; blocking on it
    would block the event loop, and the liveness probe with it. The number of dropped lines is logged once the
    stream accepts data again. A long line may be accepted only in part: the rest is dropped, and the next output
    starts on a new line.
    """

    def __init__(self, stream: TextIO, formatter: LineFormatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._line = formatter.line
        self._dropped = 0
        self._cut_off = False
        self._encoding = stream.encoding or "utf-8", stream.errors or "strict"
        self._file, self._poll, self._guaranteed = _inspect(stream)
        # The bytes that the stream still accepts, of those guaranteed when it was last polled.
        self._free = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, if the stream accepts it immediately."""
        try:
            self._write_or_drop((self.format(record) + self.terminator).encode(*self._encoding))
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - as in the handlers of `logging`: errors do not reach the caller
            self.handleError(record)

    def info(self, message: str, fields: Mapping[str, object]) -> None:
        """Do what `handle` does with an info record, without the record: creating one doubles the time."""
        assert self.lock is not None
        with self.lock:
            try:
                self._write_or_drop(self._encoded(logging.INFO, message, fields))
            except (OSError, ValueError):  # as in `emit`: reported on stderr, not to the caller
                self.handleError(logging.LogRecord(__name__, logging.INFO, "", 0, message, None, None))

    def _encoded(self, level: int, message: str, fields: Mapping[str, object]) -> bytes:
        return (self._line(time.time(), level, message, fields) + self.terminator).encode(*self._encoding)

    def _write_or_drop(self, data: bytes) -> None:
        """Write a line, or count it as dropped if the stream does not accept all of it immediately."""
        if self._poll is None:
            self._write(data)
        elif len(data) <= self._free:
            self._free -= len(data)
            self._write(data)
        elif not self._poll.poll(0):
            self._free = 0
            self._dropped += 1
        elif self._dropped:
            self._report_dropped()
            self._write_or_drop(data)
        else:
            self._write_pieces(data, self._poll)

    def _write_pieces(self, data: bytes, poll: select.poll) -> None:
        """Write a line after a successful poll, in pieces of the guaranteed size with a poll before each."""
        size = self._guaranteed or len(data)
        while True:
            self._free = max(0, self._guaranteed - len(data))
            self._write(data[:size])
            data = data[size:]
            if not data:
                return
            if not poll.poll(0):
                self._cut_off = True
                self._dropped += 1
                return

    def _report_dropped(self) -> None:
        """Log the number of dropped lines, on a new line if the last one was cut off."""
        report = self._encoded(logging.WARNING, "Dropped log lines: stdout was blocked", {"lines": self._dropped})
        report = b"\n" + report if self._cut_off else report
        self._dropped, self._cut_off = 0, False
        self._free = max(0, self._guaranteed - len(report))
        self._write(report)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self.stream.write(data.decode(*self._encoding))
            self.stream.flush()
            return
        while data:  # a signal can interrupt the write of a long line
            data = data[os.write(self._file, data) :]


def _inspect(stream: TextIO) -> tuple[int | None, select.poll | None, int]:
    """Return a stream's file descriptor, its poll object, and the bytes that it accepts after a successful poll.

    Without a descriptor or a poll object writing does not block.
    """
    try:
        file = stream.fileno()
    except (OSError, ValueError):  # not a file, so writing does not block
        return None, None, 0
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return file, None, 0
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    # A writable pipe accepts PIPE_BUF bytes without a reader (POSIX), because only this process writes to stdout.
    return file, poll, select.PIPE_BUF if stat.S_ISFIFO(mode) else 0


def configure(level: int = logging.INFO) -> None:
    """Send all loggers to stdout, as text if it is a terminal, else as JSON.

    This includes uvicorn's errors, but not its access log.
    """
    handler = Handler(sys.stdout, TextFormatter() if sys.stdout.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Do not collect what no line shows (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def log(logger: logging.Logger, message: str, **fields: object) -> None:
    """Log at info level with named fields."""
    info(logger, message, fields)


def info(logger: logging.Logger, message: str, fields: Mapping[str, object]) -> None:
    """Log at info level with fields, without creating a LogRecord if only our handler would see it."""
    if not logger.isEnabledFor(logging.INFO):
        return
    handler = _only_handler(logger)
    if handler is None:
        logger.info(message, extra={_FIELDS: fields})
    else:
        handler.info(message, fields)


def warn(logger: logging.Logger, message: str, **fields: object) -> None:
    """Log at warning level with named fields."""
    logger.warning(message, extra={_FIELDS: fields})


def _only_handler(logger: logging.Logger) -> Handler | None:
    """Return our handler if no other handler and no filter would see a line of this logger, else None."""
    if logger.filters:
        return None
    found: Handler | None = None
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            if found is not None or not isinstance(handler, Handler):
                return None
            found = handler
        current = current.parent if current.propagate else None
    return None if found is None or found.filters or found.level > logging.INFO else found
