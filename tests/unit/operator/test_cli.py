"""The process: its credentials and its exit code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import kopf
import pytest
from imageclassifier_operator import cli
from imageclassifier_operator.kube.client import KubeClient
from kubernetes.aio.client import ApiClient, Configuration

from tests import crd

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_operator.api import OperatorConfig


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


def _config(catalogue: Path, *arguments: str) -> OperatorConfig:
    command = ["plan", "--runtime-image=i", f"--catalogue={catalogue}", *arguments]
    return cli._options(cli._parser().parse_args(command)).config


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    file = tmp_path / "catalogue.yaml"
    file.write_text(crd.CATALOGUE.read_text())
    return file


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://proxy.example.org:3128",
        "https://user:w0rd@proxy.example.org",
        "proxy:3128",
        "http://[fd00::1]:3128/",
    ],
)
def test_a_proxy_and_a_config_map_are_read(catalogue: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGECLASSIFIER_OPERATOR_RUNTIME_NO_PROXY", " .svc,10.0.0.0/8 ")
    names = (f"--runtime-https-proxy={url}", f"--runtime-http-proxy={url}", "--runtime-ca-config-map=corporate-ca")
    config = _config(catalogue, *names)
    assert (config.runtime_https_proxy, config.runtime_http_proxy) == (url, url)
    assert (config.runtime_no_proxy, config.runtime_ca_config_map) == (".svc,10.0.0.0/8", "corporate-ca")


@pytest.mark.parametrize(
    "argument",
    [
        "--runtime-https-proxy=socks5://user:w0rd@proxy:1080",
        "--runtime-https-proxy=http://user:w0rd/x@proxy:1080",
        "--runtime-http-proxy=http://proxy:3128/w0rd",
        "--runtime-http-proxy=http://",
        "--runtime-ca-config-map=Corporate CA",
        "--runtime-ca-config-map=../x",
    ],
)
def test_an_invalid_proxy_or_config_map_is_rejected_at_the_start(
    catalogue: Path, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--runtime-image=i", f"--catalogue={catalogue}", argument]) == 2
    written = capsys.readouterr().err
    assert f"{argument.partition('=')[0]} must be" in written
    assert "w0rd" not in written
