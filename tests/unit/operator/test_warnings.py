"""What the API server warns of is logged, once and bounded."""

from __future__ import annotations

import pytest
from imageclassifier_operator.kube.warnings import WarningLog, warning_texts


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ('299 - "v1 Endpoints is deprecated in v1.33+"', ["v1 Endpoints is deprecated in v1.33+"]),
        ('299 - "one, \\"quoted\\"", 299 - "two"', ['one, "quoted"', "two"]),
        ('299 kube-apiserver "dated" "Thu, 26 Nov 2026 10:00:00 GMT"', ["dated"]),
        ('299 - ""', [""]),
        ("not a warning", ["not a warning"]),
        (f'299 - "{"x" * 9999}"', ["x" * 500]),
    ],
)
def test_a_header_is_taken_apart(header: str, texts: list[str]) -> None:
    assert list(warning_texts([header])) == texts


def test_each_warning_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    log = WarningLog()
    for _ in range(3):
        log.take(['299 - "one"', '299 - "two"'], request="GET /a")
    assert [record.getMessage() for record in caplog.records] == [
        "The API server warns of GET /a: one",
        "The API server warns of GET /a: two",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_a_server_that_warns_otherwise_each_time_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    log = WarningLog()
    for number in range(1000):
        log.take([f'299 - "{number}"'], request="GET /a")
    assert len(caplog.records) == 200
