"""One JSON object a line on stdout: easy for machines, still readable in `kubectl logs`."""

from __future__ import annotations

import datetime
import json
import logging
import sys

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


def configure(level: int = logging.INFO) -> None:
    """Send every logger to stdout as JSON; uvicorn's own lines too, its access log not."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
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
