"""The process: its credentials and its exit code."""

from __future__ import annotations

import asyncio

import kopf
import pytest
from imageclassifier_operator import cli
from imageclassifier_operator.kube.client import KubeClient
from kubernetes.aio.client import ApiClient, Configuration


async def exits(*, after: float = 0.0, error: Exception | None = None) -> None:
    await asyncio.sleep(after)
    if error is not None:
        raise error


async def test_parts_that_exit_are_not_an_error() -> None:
    await cli._run_until_first_exit(exits(), exits(after=0.01))


@pytest.mark.parametrize("after", [0.0, 0.01])
async def test_an_error_raised_while_the_others_stop_is_not_lost(after: float) -> None:
    with pytest.raises(LookupError):
        await cli._run_until_first_exit(exits(), exits(after=after, error=LookupError()))


async def test_a_part_that_does_not_exit_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "SHUTDOWN_SECONDS", 0.01)
    await cli._run_until_first_exit(exits(), exits(after=3600))


async def test_a_failure_stops_the_others_immediately() -> None:
    with pytest.raises(LookupError):
        await cli._run_until_first_exit(exits(error=LookupError()), exits(after=3600))


def test_in_a_pod_kopf_gets_the_current_token_and_an_address_that_needs_no_dns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="now")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: connection)
    client = KubeClient(ApiClient(Configuration(host="https://10.96.0.1:443")))
    info = cli._login_in_cluster(client)
    assert info is not None
    assert (info.server, info.token) == ("https://10.96.0.1:443", "now")


@pytest.mark.parametrize("policy", ["", "ifnotpresent"])
def test_an_unknown_pull_policy_is_rejected_at_the_start(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--runtime-image=i", "--catalogue=c", f"--image-pull-policy={policy}"]
    assert cli.main(arguments) == 2
    assert "IfNotPresent" in capsys.readouterr().err
