"""Warnings of the API server are logged once each, up to a limit."""

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
def test_a_header_is_split_into_its_warnings(header: str, texts: list[str]) -> None:
    assert list(warning_texts([header])) == texts


def test_each_warning_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    log = WarningLog()
    for _ in range(3):
        log.log(['299 - "one"', '299 - "two"'], request="GET /a")
    assert [record.getMessage() for record in caplog.records] == [
        "Warning from the API server for GET /a: one",
        "Warning from the API server for GET /a: two",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_the_number_of_logged_warnings_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    log = WarningLog()
    for number in range(1000):
        log.log([f'299 - "{number}"'], request="GET /a")
    assert len(caplog.records) == 200
