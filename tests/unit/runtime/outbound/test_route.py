"""What a proxy that forwards a request gets, and what a server gets."""

from __future__ import annotations

import pytest
from imageclassifier_runtime.fetch import transport
from imageclassifier_runtime.outbound.route import Route
from imageclassifier_runtime.settings.proxies import Proxies

_PROXIES = Proxies.from_env(
    {"HTTP_PROXY": "http://user:word@proxy:3128", "HTTPS_PROXY": "http://user:word@proxy:3128"}
)


@pytest.mark.parametrize(
    "url",
    [
        "http://store.example.org/b/m.onnx",
        "http://store.example.org:9000/b/m.onnx",
        "http://[fd00::1]/m.onnx",
        "http://[fd00::1]:9000/m.onnx?x=1",
    ],
)
def test_a_forwarded_request_has_the_host_that_the_header_has_and_s3_signs(url: str) -> None:
    target = transport.parse(url)
    route = Route.to(target.scheme, target.host, target.port, _PROXIES)
    assert route.request_target(target.path) == url == f"http://{target.authority}{target.path}"
    assert set(route.headers) == {"Proxy-Authorization"}


def test_a_request_in_a_tunnel_has_nothing_for_the_proxy() -> None:
    route = Route.to("https", "store.example.org", 443, _PROXIES)
    assert (route.request_target("/m.onnx"), dict(route.headers)) == ("/m.onnx", {})


def test_without_a_proxy_messages_do_not_mention_one() -> None:
    route = Route.to("https", "store.example.org", 443, Proxies())
    assert (str(route), route.address, route.secure_proxy) == ("", ("store.example.org", 443), False)
