"""The clean-up removes only the cluster's own files, not those of other container networks."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.cluster.leftovers import cni_results

_STATE = Path("/var/lib/state")


def test_results_of_other_networks_are_not_removed(tmp_path: Path) -> None:
    for name, sandbox in (
        ("ours-eth0", f"{_STATE}/netns/a"),
        ("other-eth0", "/run/netns/b"),
        ("near", f"{_STATE}2/c"),
    ):
        result = {"result": {"interfaces": [{"name": "lo", "sandbox": sandbox}]}}
        (tmp_path / name).write_text(json.dumps(result, separators=(",", ":")))
    assert cni_results(_STATE, tmp_path) == [tmp_path / "ours-eth0"]


def test_a_machine_without_container_networks_has_no_results(tmp_path: Path) -> None:
    assert cni_results(_STATE, tmp_path / "results") == []
