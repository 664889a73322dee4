"""Which proxy a request uses, by the rules of Go's httpproxy."""

from __future__ import annotations

import pytest
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.commands import FetchSettings, ServeSettings
from imageclassifier_runtime.settings.credentials import basic
from imageclassifier_runtime.settings.proxies import Proxies

PROXY = "http://proxy.example.org:3128"
_OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.org"}


def found(env: dict[str, str], *, scheme: str = "https", host: str = "models.example.org", port: int = 443) -> str:
    """Return the proxy in words, "" for none."""
    return str(Proxies.from_env(env).find(scheme, host, port) or "")


def test_each_scheme_has_its_own_variable() -> None:
    env = {"HTTPS_PROXY": "http://one:1", "HTTP_PROXY": "http://two:2"}
    assert found(env) == "http://one:1 (HTTPS_PROXY)"
    assert found(env, scheme="http") == "http://two:2 (HTTP_PROXY)"
    assert found({"ALL_PROXY": PROXY}) == found({"HTTP_PROXY": PROXY}) == found({}) == ""


def test_upper_case_takes_precedence_unless_it_is_empty() -> None:
    assert found({"HTTPS_PROXY": "http://one:1", "https_proxy": "http://two:2"}) == "http://one:1 (HTTPS_PROXY)"
    assert found({"HTTPS_PROXY": " ", "https_proxy": "http://two:2"}) == "http://two:2 (https_proxy)"
    assert found({"HTTPS_PROXY": PROXY, "no_proxy": "example.org"}) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy.example.org:3128", "http://proxy.example.org:3128"),
        ("proxy.example.org", "http://proxy.example.org:80"),
        ("https://proxy.example.org", "https://proxy.example.org:443"),
        ("http://proxy.example.org:3128/", "http://proxy.example.org:3128"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://user:word@proxy.example.org:3128", "http://proxy.example.org:3128"),
    ],
)
def test_a_url_is_read(value: str, expected: str) -> None:
    assert found({"HTTPS_PROXY": value}) == f"{expected} (HTTPS_PROXY)"


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [("ann:w0rd", "ann", "w0rd"), ("ann", "ann", ""), ("a%40b:%2F%3a%e2%82%ac", "a@b", "/:€")],
)
def test_credentials_are_decoded_and_never_shown(login: str, user: str, password: str) -> None:
    settings = FetchSettings.from_env({"https_proxy": f"http://{login}@proxy.example.org"})
    proxy = settings.proxies.find("https", "models.example.org", 443)
    assert proxy is not None
    assert proxy.authorization == basic(user, password)
    assert basic(user, password) not in f"{settings} {settings!r} {proxy} {proxy!r}"


@pytest.mark.parametrize(
    "value",
    [
        "socks5://proxy.example.org:1080",
        "http://",
        "http://proxy.example.org:port",
        "http://proxy.example.org:99999",
        "http://proxy.example.org:0",
        "http://[fd00::1",
        "http://proxy.example.org/path",
        "http://proxy.example.org?x",
        "http://proxy .example.org",
        "http://user:s3/cret@proxy.example.org",
        "http://user:12/s3cret@proxy.example.org",
        "http://user:s3#cret@proxy.example.org",
        "user:s3/cret@proxy.example.org",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "http_proxy"])
def test_the_error_for_an_invalid_url_names_the_variable_and_no_password(variable: str, value: str) -> None:
    for read in (FetchSettings.from_env, lambda env: ServeSettings.from_env({**_OTLP, **env})):
        with pytest.raises(SettingsError, match=rf"^{variable} must be http\(s\)://") as caught:
            read({variable: value})
        assert [part for part in ("s3", "cret") if part in str(caught.value)] == []


def test_a_server_without_traces_does_not_read_proxies() -> None:
    assert ServeSettings.from_env({"HTTPS_PROXY": "socks5://proxy.example.org"}).tracing is None


def test_both_commands_get_the_proxies() -> None:
    env = {**_OTLP, "HTTPS_PROXY": PROXY, "NO_PROXY": "example.com"}
    tracing = ServeSettings.from_env(env).tracing
    assert tracing is not None
    assert tracing.proxies == FetchSettings.from_env(env).proxies == Proxies.from_env(env)


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("*", ["models.example.org", "10.0.0.1"], []),
        ("example.com,*", ["models.example.org"], []),
        ("*.example.org", ["models.example.org", "a.b.example.org"], ["example.org", "myexample.org"]),
        (".example.org", ["models.example.org"], ["example.org", "myexample.org"]),
        ("example.org", ["models.example.org", "example.org", "EXAMPLE.org", "example.org."], ["myexample.org"]),
        ("EXAMPLE.ORG", ["models.example.org"], ["example.com"]),
        (" a.com , example.org ", ["models.example.org", "a.com"], ["b.com"]),
        ("a.com example.org", ["models.example.org", "a.com"], ["b.com"]),
        (".svc,.cluster.local", ["store.vision.svc", "store.vision.svc.cluster.local"], ["svc", "cluster.local"]),
        ("example.org:443", ["models.example.org"], []),
        ("example.org:8443", [], ["models.example.org"]),
        ("10.0.0.1", ["10.0.0.1"], ["10.0.0.2", "models.example.org"]),
        ("10.0.0.1:443", ["10.0.0.1"], []),
        ("10.0.0.1:80", [], ["10.0.0.1"]),
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "10.example.org"]),
        ("10.1.2.3/8", ["10.0.0.1"], ["11.0.0.1"]),
        ("fd00::/8,[fe80::1]:443,2001:db8::1", ["fd00::5", "fe80::1", "2001:db8::1"], ["2001:db8::2"]),
        ("bücher.example", ["xn--bcher-kva.example", "a.xn--bcher-kva.example"], ["example"]),
        ("", [], ["models.example.org", "10.0.0.1"]),
        (",.,*:80,:443,10.0.0.0/99,/,[]", [], ["models.example.org", "10.0.0.1"]),
    ],
)
def test_hosts_of_no_proxy_use_none(no_proxy: str, direct: list[str], proxied: list[str]) -> None:
    env = {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}
    assert [host for host in direct if found(env, host=host)] == []
    assert [host for host in proxied if not found(env, host=host)] == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.1", "::1"]
)
def test_loopback_uses_none(host: str) -> None:
    assert found({"HTTPS_PROXY": PROXY}, host=host) == ""
