"""The evaluation: top-1 per class, reproducible samples, a folder of pictures, and a running server."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from training.dataset import DatasetError
from training.evaluate import Picture, ResponseError, count, from_server, read_pictures, sample


def pictures(number: int) -> list[Picture]:
    return [Picture(name=str(index), label="cat", jpeg=b"") for index in range(number)]


def test_correct_results_are_counted_for_each_class() -> None:
    report = count([("cat", "cat"), ("cat", "dog"), ("dog", "dog"), ("cat", "dog")])
    assert report.top1 == 0.5
    assert report.right == {"cat": 1, "dog": 1}
    assert report.total == {"cat": 3, "dog": 1}
    assert report.confused == {("cat", "dog"): 2}


def test_the_report_has_classes_total_and_confusions() -> None:
    lines = count([("cat", "cat"), ("cat", "dog")]).lines()
    assert lines[0].split() == ["cat", "1", "of", "2", "50.00%"]
    assert lines[1].split() == ["top-1", "1", "of", "2", "50.00%"]
    assert lines[2] == "cat classified as dog: 1"


def test_a_class_without_a_correct_result_has_its_line() -> None:
    assert count([("cat", "dog")]).lines()[0].split() == ["cat", "0", "of", "1", "0.00%"]


def test_an_evaluation_without_pictures_is_an_error() -> None:
    with pytest.raises(DatasetError):
        count([])


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    all_pictures = pictures(100)
    assert sample(all_pictures, 10, 1) == sample(all_pictures, 10, 1) != sample(all_pictures, 10, 2)
    assert len(set(sample(all_pictures, 10, 1))) == 10
    assert sample(all_pictures, None, 1) == all_pictures


def test_a_folder_of_classes_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("dog/2.jpg", "dog/1.JPEG", "cat/1.jpg", "cat/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = read_pictures(tmp_path)
    assert [(item.label, item.jpeg) for item in found] == [
        ("cat", b"cat/1.jpg"),
        ("dog", b"dog/1.JPEG"),
        ("dog", b"dog/2.jpg"),
    ]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no"):
        read_pictures(tmp_path)


@contextmanager
def server(responses: list[tuple[int, bytes]]) -> Iterator[tuple[str, list[tuple[str, str | None, bytes]]]]:
    """Run a server that sends these responses in turn; yields its URL and the requests that it received."""
    requests: list[tuple[str, str | None, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, self.headers["Content-Type"], body))
            status, content = responses[len(requests) - 1]
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}", requests
        finally:
            running.shutdown()
            thread.join()


CAT = b'{"predictions": [{"class_id": 3, "class_name": "cat", "probability": 0.9}]}'


def test_a_picture_is_posted_unchanged() -> None:
    with server([(200, CAT)]) as (url, requests):
        assert from_server(url)(b"jpeg") == "cat"
    assert requests == [("/api/v1/classify?top_k=1", "image/jpeg", b"jpeg")]


def test_a_request_to_a_busy_server_is_retried() -> None:
    with server([(503, b"busy"), (200, CAT)]) as (url, requests):
        assert from_server(url)(b"jpeg") == "cat"
    assert len(requests) == 2


def test_the_error_for_a_rejected_request_shows_the_response() -> None:
    with server([(415, b"no image")]) as (url, _), pytest.raises(ResponseError, match=r"415.*no image"):
        from_server(url)(b"jpeg")


def test_a_url_that_is_not_http_is_rejected() -> None:
    with pytest.raises(SystemExit, match="expected http"):
        from_server("ftp://example.org")
