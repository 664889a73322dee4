"""The operator accepts the URL of a proxy in its configuration if, and only if, the runtime accepts it."""

from __future__ import annotations

import pytest
from imageclassifier_operator import cli
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.proxies import Proxies

VALID = [
    "http://proxy.example.org",
    "http://proxy.example.org:3128",
    "https://proxy.example.org:3129/",
    "http://proxy:65535",
    "http://10.0.0.1:3128",
    "http://[fd00::1]",
    "http://[::ffff:10.0.0.1]:3128",
    "http://user@proxy:3128",
    "http://user:w0rd@proxy:3128",
    "http://user:p%40ss%2Fw%C3%A4@proxy:3128",
    "http://user:$a!(b)@proxy:3128",
    "proxy",
    "proxy:3128",
    "user:w0rd@proxy:3128",
]
INVALID = [
    "socks5://proxy:1080",
    "ftp://proxy",
    "http://",
    "http://:3128",
    "http://user:w0rd@",
    "http://proxy:0",
    "http://proxy:65536",
    "http://proxy:99999",
    "http://proxy:port",
    "proxy:0",
    "http://[fd00::1",
    "http://[:::]:3128",
    "http://[10.0.0.1]:3128",
    "http://[12345::]:3128",
    "http://proxy/path",
    "http://proxy?x",
    "http://proxy#x",
    "http://pro xy",
    "http://pro\txy",
    "http://user:w0rd/x@proxy",
    "http://user:w[rd@proxy:3128",
    "http://user:w]rd@proxy:3128",
    "http://user:[::1]@proxy:3128",
    "http://user:w\u00e4rd@proxy:3128",
    "http://user:w\x01rd@proxy:3128",
]


@pytest.mark.parametrize("url", VALID)
def test_the_operator_and_the_runtime_accept_a_valid_url(url: str) -> None:
    proxy = Proxies.from_env({"HTTPS_PROXY": url}).https
    assert proxy is not None
    assert proxy.host in url
    assert cli._check_proxy("--runtime-https-proxy", url) == url


@pytest.mark.parametrize("url", INVALID)
def test_the_operator_and_the_runtime_reject_an_invalid_url(url: str) -> None:
    with pytest.raises(SettingsError, match="HTTPS_PROXY must be http"):
        Proxies.from_env({"HTTPS_PROXY": url})
    with pytest.raises(ValueError, match="--runtime-https-proxy must be http"):
        cli._check_proxy("--runtime-https-proxy", url)
