"""Log lines on stdout: JSON for machines, still readable in `kubectl logs`; plain text at a terminal."""

from __future__ import annotations

import datetime
import json
import logging
import select
import sys
from typing import TextIO

_FIELDS = "fields"
_encode = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":")).encode


class JsonFormatter(logging.Formatter):
    """Render a record and the fields given with it as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; anything that is not JSON is shown as its text."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update(getattr(record, _FIELDS, {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line)


class Handler(logging.StreamHandler[TextIO]):
    """Writes lines, and leaves out those that would have to wait for a reader.

    A pipe that nobody reads (the container runtime restarts, say) fills up after 64 KiB; to wait for it would stop
    the event loop, and the liveness probe with it. How many lines were left out is said once there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._dropped = 0
        self._poll: select.poll | None = select.poll()
        try:
            self._poll.register(stream, select.POLLOUT)
        except (OSError, ValueError):  # no file behind it: nothing to wait for
            self._poll = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, if the stream takes it at once."""
        if self._dropped and not self._full():
            text, count, self._dropped = "Log lines were left out: nobody read them", self._dropped, 0
            note = logging.LogRecord(__name__, logging.WARNING, "", 0, text, None, None)
            note.fields = {"lines": count}
            super().emit(note)
        if self._full():
            self._dropped += 1
        else:
            super().emit(record)

    def _full(self) -> bool:
        # Where poll(2) says that a pipe can be written to, it has room for 4,096 bytes.
        return self._poll is not None and not self._poll.poll(0)


class TextFormatter(logging.Formatter):
    """Render a record for a person at a terminal: the time of day, the message, and the fields after it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, or more for an exception."""
        moment = datetime.datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        fields = "".join(f"  {name}={value}" for name, value in getattr(record, _FIELDS, {}).items())
        text = f"{moment:%H:%M:%S}  {level}{record.getMessage()}{fields}"
        text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(level: int = logging.INFO) -> None:
    """Send every logger to stdout, as text to a terminal and else as JSON.

    uvicorn's own lines are among them, its access log is not.
    """
    handler = Handler(sys.stdout)
    handler.setFormatter(TextFormatter() if sys.stdout.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What no line shows need not be found out for each (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def log(logger: logging.Logger, message: str, **fields: object) -> None:
    """Log at info level with named fields."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(message, extra={_FIELDS: fields})


def warn(logger: logging.Logger, message: str, **fields: object) -> None:
    """Log at warning level with named fields."""
    logger.warning(message, extra={_FIELDS: fields})
