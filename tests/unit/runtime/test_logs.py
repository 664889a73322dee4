"""Log lines: their format, other handlers, and an output that never blocks."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import logging
import os
import random
import select
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.logs import Handler, JsonFormatter, TextFormatter, log, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIELDS: dict[str, Any] = {
    "text": 'a "quoted" \\ back\nslash, ümlaut, \x00, \u2028, 🦊',
    "number": 12,
    "real": 6.71,
    "tiny": 1e-07,
    "none": None,
    "yes": True,
    "many": [1, "two", {"three": 3.0}],
    "path": Path("/models"),
    "infinite": float("inf"),
}


class RecordingHandler(logging.Handler):
    """Another handler, which records what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def logger_with(*handlers: logging.Handler, level: int = logging.INFO) -> logging.Logger:
    # Outside the tree of loggers, because pytest adds handlers to its root.
    logger = logging.Logger("imageclassifier_runtime.some", level)  # noqa: LOG001
    for handler in handlers:
        logger.addHandler(handler)
    return logger


@pytest.fixture(params=["alone", "with another"])
def to_stream(request: pytest.FixtureRequest) -> Callable[..., tuple[logging.Logger, io.StringIO]]:
    """Returns a function that creates a logger with our handler, which needs no record, or also another one."""

    def make(formatter: JsonFormatter | TextFormatter) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        others = [] if request.param == "alone" else [logging.NullHandler()]
        return logger_with(Handler(stream, formatter), *others), stream

    return make


def test_a_line_is_a_json_object_with_the_fields_in_order(
    to_stream: Callable[..., tuple[logging.Logger, io.StringIO]],
) -> None:
    logger, stream = to_stream(JsonFormatter())
    before = datetime.datetime.now(datetime.UTC)
    log(logger, 'Said "so"', **FIELDS)
    time, rest = stream.getvalue().split(",", 1)
    expected = {"level": "info", "message": 'Said "so"', **FIELDS}
    encoded = json.dumps(expected, default=str, ensure_ascii=False, separators=(",", ":"))
    assert "{" + rest == encoded + "\n"
    moment = datetime.datetime.fromisoformat(json.loads(time + "}")["time"])
    assert time.endswith('Z"')
    assert abs(moment - before) < datetime.timedelta(seconds=30)


def test_a_terminal_gets_the_same_text_with_and_without_a_record(
    to_stream: Callable[..., tuple[logging.Logger, io.StringIO]],
) -> None:
    logger, stream = to_stream(TextFormatter())
    log(logger, "Serving", url="http://x/\x1b", port=1)
    assert stream.getvalue()[8:] == "  Serving  url=http://x/\\x1b  port=1\n"


@pytest.mark.parametrize("created", [0.0, 1.001, 1700000000.123, 1700000000.9996, 1700000000.9999998])
def test_the_time_is_in_utc_with_milliseconds(created: float) -> None:
    formatter = JsonFormatter()
    for moment in (created, created + 0.0015, created + 86_399, created):
        record = logging.makeLogRecord({"msg": "Now", "levelno": logging.INFO, "created": moment})
        expected = datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(timespec="milliseconds")
        assert json.loads(formatter.format(record))["time"] == expected.replace("+00:00", "Z")


def test_warnings_and_exceptions_have_their_level() -> None:
    stream = io.StringIO()
    logger = logger_with(Handler(stream, JsonFormatter()))
    warn(logger, "Take care", what="this")
    try:
        int("broken")
    except ValueError:
        logger.exception("Failed %s", "twice", extra={"fields": {"request_id": "r1"}})
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["level"], first["message"], first["what"]) == ("warning", "Take care", "this")
    assert (second["level"], second["message"], second["request_id"]) == ("error", "Failed twice", "r1")
    assert second["exception"].endswith("'broken'")


def test_a_line_below_the_level_or_filtered_is_not_written() -> None:
    stream = io.StringIO()
    handler = Handler(stream, JsonFormatter())
    log(logger_with(handler, level=logging.WARNING), "Request")
    refusing = logger_with(handler)
    refusing.addFilter(lambda _: False)
    log(refusing, "Request")
    handler.setLevel(logging.WARNING)
    log(logger_with(handler), "Request")
    handler.setLevel(logging.NOTSET)
    handler.addFilter(lambda _: False)
    log(logger_with(handler), "Request")
    assert stream.getvalue() == ""


def test_other_handlers_get_every_line_up_to_where_propagation_stops() -> None:
    stream, child, parent = io.StringIO(), RecordingHandler(), RecordingHandler()
    root = logger_with(Handler(stream, JsonFormatter()), parent)
    logger = logger_with(child)
    logger.parent = root
    log(logger, "Both", number=1)
    logger.propagate = False
    log(logger, "One", number=2)
    assert [record.fields for record in child.records] == [{"number": 1}, {"number": 2}]  # type: ignore[attr-defined]
    assert [record.getMessage() for record in parent.records] == ["Both"]
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["Both"]


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    stream = os.fdopen(writing, "w", encoding="utf-8")
    yield reading, stream
    with contextlib.suppress(OSError):
        os.close(reading)
    with contextlib.suppress(OSError):
        stream.close()


def drained(reading: int) -> bytes:
    data = bytearray()
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reading, 1 << 16):
            data += piece
    return bytes(data)


def everything(reading: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in drained(reading).splitlines()]


@pytest.mark.parametrize("others", [0, 1])
def test_lines_are_dropped_and_counted_if_the_output_is_full(
    pipe: tuple[int, io.TextIOWrapper], others: int
) -> None:
    reading, stream = pipe
    logger = logger_with(Handler(stream, JsonFormatter()), *[logging.NullHandler()] * others)
    for number in range(1000):
        log(logger, "Request", number=number, padding="x" * 400)
    kept = [line["number"] for line in everything(reading)]
    assert kept == list(range(len(kept)))
    log(logger, "Request", number=1000)
    log(logger, "Request", number=1001)
    notice, *last = everything(reading)
    assert (notice["level"], notice["lines"]) == ("warning", 1000 - len(kept))
    assert [line["number"] for line in last] == [1000, 1001]


def test_a_slow_reader_gets_whole_lines_and_blocks_no_request(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reading, stream = pipe
    logger, chance, data = logger_with(Handler(stream, JsonFormatter())), random.Random(1), bytearray()
    for number in range(3000):
        log(logger, "Request", number=number, padding="ü" * chance.choice((1, 60, 400, 1900)))
        if chance.random() < 0.2:
            with contextlib.suppress(BlockingIOError):
                data += os.read(reading, chance.choice((10, 1000, 4096, 10_000)))
    with contextlib.suppress(BlockingIOError):
        while True:
            data += os.read(reading, 1 << 16)
    log(logger, "Request", number=3000)
    lines = [json.loads(line) for line in data.splitlines()] + everything(reading)
    requests = [line["number"] for line in lines if line["message"] == "Request"]
    assert requests == sorted(set(requests))
    assert len(requests) < 3000
    assert len(requests) + sum(line.get("lines", 0) for line in lines) == 3001


@pytest.mark.parametrize("size", [6000, 9000])
@pytest.mark.parametrize("way", [log, warn], ids=["info", "record"])
def test_long_lines_do_not_block_if_the_output_is_full(
    pipe: tuple[int, io.TextIOWrapper], way: Callable[..., None], size: int
) -> None:
    reading, stream = pipe
    logger = logger_with(Handler(stream, JsonFormatter()))

    def write_lines() -> None:
        for number in range(100):
            way(logger, "Request", number=number, padding="x" * size)

    thread = threading.Thread(target=write_lines, daemon=True)
    thread.start()
    thread.join(2)
    assert not thread.is_alive()
    first = drained(reading)
    way(logger, "Request", number=100, padding="x" * size)
    lines = (first + drained(reading)).decode().splitlines()
    torn = [index for index, line in enumerate(lines) if not line.endswith("}")]
    notice, *rest = [json.loads(line) for line in lines[len(lines) - 2 :]]
    kept = [json.loads(line)["number"] for line in lines[: len(lines) - 2 - len(torn)]]
    assert torn in ([], [len(lines) - 3])
    assert torn or size < 2 * select.PIPE_BUF  # a pipe may hold a whole number of these
    assert kept == list(range(len(kept)))
    assert (notice["level"], notice["lines"]) == ("warning", 100 - len(kept))
    assert [line["number"] for line in rest] == [100]


def test_a_slow_reader_gets_long_lines_whole_or_truncated_on_their_own_line(
    pipe: tuple[int, io.TextIOWrapper],
) -> None:
    reading, stream = pipe
    logger, chance, data = logger_with(Handler(stream, JsonFormatter())), random.Random(2), bytearray()
    for number in range(1000):
        way = chance.choice((log, warn))
        way(logger, "Request", number=number, padding="ü" * chance.choice((1, 400, 3000, 20_000)))
        if chance.random() < 0.4:
            with contextlib.suppress(BlockingIOError):
                data += os.read(reading, chance.choice((1000, 10_000, 1 << 16)))
    data += drained(reading)
    log(logger, "Request", number=1000)
    data += drained(reading)
    whole, torn = list[dict[str, Any]](), 0
    # as bytes, because a truncated line may end inside a character
    for line in data.splitlines():
        if line.endswith(b"}"):
            whole.append(json.loads(line))
        else:
            torn += 1
    requests = [line["number"] for line in whole if line["message"] == "Request"]
    notes = [line["lines"] for line in whole if line["message"] != "Request"]
    assert requests == sorted(set(requests))
    assert len(requests) + sum(notes) == 1001
    assert 0 < torn <= len(notes)


def test_a_line_longer_than_pipe_buf_is_written_whole(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reading, stream = pipe
    log(logger_with(Handler(stream, JsonFormatter())), "Request", text="ü" * 10_000)
    assert [line["text"] for line in everything(reading)] == ["ü" * 10_000]


def test_a_file_gets_lines_with_and_without_a_record_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        logger = logger_with(Handler(stream, JsonFormatter()))
        for number in range(3):
            log(logger, "Request", number=number)
            warn(logger, "Warning", number=number)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert [(line["level"], line["number"]) for line in lines] == [
        (level, number) for number in range(3) for level in ("info", "warning")
    ]


def test_a_closed_output_is_reported_on_stderr_and_raises_no_error(
    pipe: tuple[int, io.TextIOWrapper], capsys: pytest.CaptureFixture[str]
) -> None:
    reading, stream = pipe
    os.close(reading)
    log(logger_with(Handler(stream, JsonFormatter())), "Request", number=1)
    assert "BrokenPipeError" in capsys.readouterr().err
