"""What differs between two templates, by field."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.revisions import Change, changes, summary


def template(**server: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "server", **server}]}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"image": "r:1"}, {"image": "r:2"}, ["spec.containers[server].image: r:1 -> r:2"]),
        ({}, {"image": "r:2"}, ["spec.containers[server].image: none -> r:2"]),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "A", "value": "3"}]},
            [
                "spec.containers[server].env[A].value: 1 -> 3",
                'spec.containers[server].env[B]: {"name": "B", "value": "2"} -> none',
            ],
        ),
        (
            {"env": [{"name": "A"}, {"name": "B"}, {"name": "C"}]},
            {"env": [{"name": "C"}, {"name": "A"}]},
            [
                'spec.containers[server].env[B]: {"name": "B"} -> none',
                'spec.containers[server].env: ["A", "C"] -> ["C", "A"]',
            ],
        ),
        (
            {"args": ["serve"]},
            {"args": ["serve", "-v"]},
            ['spec.containers[server].args: ["serve"] -> ["serve", "-v"]'],
        ),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "tmp", "mountPath": "/a"}]},
            {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
            ['spec.containers[server].volumeMounts[/a]: {"mountPath": "/a", "name": "tmp"} -> none'],
        ),
        (
            {"env": [{"name": "A", "value": "http://user:w0rd@proxy:3128"}]},
            {"env": [{"name": "A", "value": "http://user:w1rd@proxy:3128"}]},
            ["spec.containers[server].env[A].value: http://…@proxy:3128 -> http://…@proxy:3128"],
        ),
        (
            {"env": [{"name": "A", "value": "http://user:w0rd@proxy:3128"}]},
            {"env": []},
            ['spec.containers[server].env[A]: {"name": "A", "value": "http://…@proxy:3128"} -> none'],
        ),
        ({"image": "r:1"}, {"image": "r:1"}, []),
        ({"command": [""]}, {"command": []}, ['spec.containers[server].command: [""] -> []']),
    ],
)
def test_each_change_has_the_path_of_its_field_and_both_values(
    before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    assert [str(change) for change in changes(template(**before), template(**after))] == expected


def test_a_summary_begins_with_images() -> None:
    found = [Change(path=path, before=1, after=2) for path in ("a.args", "b.env", "c.image", "d.image", "e")]
    assert summary(found) == "c.image, d.image, a.args and 2 more"


def test_a_summary_has_the_first_three_paths() -> None:
    before, after = (dict.fromkeys("abcde", number) for number in (1, 2))
    assert summary(changes(before, after)) == "a, b, c and 2 more"
    assert summary(changes({"a": 1}, {"a": 2})) == "a"


def test_a_long_value_is_cut() -> None:
    (change,) = changes({"a": "x"}, {"a": "y" * 100})
    assert str(change) == f"a: x -> {'y' * 80}…"
