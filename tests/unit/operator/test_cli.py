"""The process: by which credentials it goes, and what its exit code says."""

from __future__ import annotations

import asyncio

import kopf
import pytest
from imageclassifier_operator import cli
from imageclassifier_operator.kube.client import KubeClient
from kubernetes.aio.client import ApiClient, Configuration


async def ends(*, after: float = 0.0, error: Exception | None = None) -> None:
    await asyncio.sleep(after)
    if error is not None:
        raise error


async def test_parts_that_end_of_themselves_are_no_error() -> None:
    await cli._until_first(ends(), ends(after=0.01))


@pytest.mark.parametrize("after", [0.0, 0.01])
async def test_a_part_that_fails_while_the_others_stop_is_heard_out(after: float) -> None:
    with pytest.raises(LookupError):
        await cli._until_first(ends(), ends(after=after, error=LookupError()))


async def test_a_part_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "ENDING_SECONDS", 0.01)
    await cli._until_first(ends(), ends(after=3600))


async def test_a_failure_ends_the_others_at_once() -> None:
    with pytest.raises(LookupError):
        await cli._until_first(ends(error=LookupError()), ends(after=3600))


def test_in_a_pod_kopf_gets_the_token_of_now_and_an_address_that_needs_no_dns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="now")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: found)
    client = KubeClient(ApiClient(Configuration(host="https://10.96.0.1:443")))
    given = cli._login_in_cluster(client)
    assert given is not None
    assert (given.server, given.token) == ("https://10.96.0.1:443", "now")


@pytest.mark.parametrize("policy", ["", "ifnotpresent"])
def test_a_pull_policy_that_the_api_has_not_is_refused_at_the_start(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--runtime-image=i", "--catalogue=c", f"--image-pull-policy={policy}"]
    assert cli.main(arguments) == 2
    assert "IfNotPresent" in capsys.readouterr().err
