"""The addresses that a fetch may connect to, in every notation."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.errors import ADDRESS_REFUSED, ModelError
from imageclassifier_runtime.fetch import addresses

from tests.unit.runtime.fetch.fetching import IMAGENET, fetch

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.commands import FetchSettings

    from tests.unit.runtime.fetch.model_store import Store

REJECTED = (
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "127.0.0.1",
    "127.255.0.9",
    "::1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
)
ALLOWED = ("10.0.0.7", "192.168.1.1", "172.16.5.5", "100.64.0.9", "fd12:3456::1", "93.184.216.34", "2606:2800::1")


@pytest.mark.parametrize("text", REJECTED)
def test_a_special_address_is_rejected(text: str) -> None:
    assert addresses.refusal(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ALLOWED)
def test_a_public_or_private_address_is_allowed(text: str) -> None:
    assert addresses.refusal(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_can_be_allowed_for_development(text: str) -> None:
    assert addresses.refusal(ipaddress.ip_address(text), allow_loopback=True) is None


def test_allowing_loopback_allows_nothing_else() -> None:
    for text in ("169.254.169.254", "0.0.0.0", "::", "::ffff:169.254.169.254"):
        assert addresses.refusal(ipaddress.ip_address(text), allow_loopback=True)


@pytest.mark.parametrize("host", ["169.254.169.254.", "%31.2.3.4", "1.2.3.4\\x", "a b", "", "fd00::1%eth0"])
def test_an_address_in_another_notation_is_rejected_before_a_proxy_gets_it(host: str) -> None:
    with pytest.raises(ModelError, match="which is not allowed") as caught:
        addresses.check_literal(host)
    assert caught.value.reason == ADDRESS_REFUSED


@pytest.mark.parametrize(
    "host", ["models.example.org.", "my_models", "xn--bcher-kva.example", "10.0.0.1", "fd00::1"]
)
def test_a_name_or_an_allowed_address_is_given_to_a_proxy(host: str) -> None:
    addresses.check_literal(host)


def test_a_name_with_one_rejected_address_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolver(*_: object, **__: object) -> list[tuple[object, ...]]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("10.0.0.1", 80)), (*kind, ("169.254.169.254", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with pytest.raises(ModelError, match=r"169\.254\.169\.254") as caught:
        addresses.resolve("two-faced.example", 80)
    assert caught.value.reason == ADDRESS_REFUSED


def test_the_connection_uses_the_checked_address_if_the_name_changes(
    store: Store, settings: FetchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([[f"127.0.0.{last}" for last in (2, 1)], ["169.254.169.254"]])  # no server listens on the first
    real = socket.getaddrinfo

    def resolver(host: str, port: int, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        if host != "rebinding.example":
            return list(real(host, port, *args, **options))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(found)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    store.files["/m.onnx"] = IMAGENET
    assert fetch(settings, f"http://rebinding.example:{store.port}/m.onnx").classes == 1000
    assert [headers["Host"] for headers in store.headers] == [f"rebinding.example:{store.port}"]
    assert next(found) == ["169.254.169.254"]
