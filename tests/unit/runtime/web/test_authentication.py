"""API keys and rate limits as clients see them, and the paths that need no key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from imageclassifier_runtime.settings.environment import networks
from imageclassifier_runtime.web.app import create_app
from imageclassifier_runtime.web.authentication import AuthMiddleware, with_authentication

from tests.unit.runtime.support import Running, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imageclassifier_runtime.protocols.state import ServerState

CLASSIFY = "/api/v1/classify"
PNG = {"Content-Type": "image/png"}
KEY, OTHER = "the-key-of-ann-0123456789", "the-key-of-bob-0123456789"
WITH_KEY = {"X-API-Key": KEY}
PROBES = (
    "/api/v1/health",
    "/api/v1/health/ready",
    "/api/v1/health/live",
    "/metrics",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/colours/ready",
    "/v1/models/colours",
)
OPEN = ("/", "/docs", "/openapi.json")
GUARDED = (
    ("POST", CLASSIFY),
    ("POST", f"{CLASSIFY}/batch"),
    ("GET", "/api/v1/model/info"),
    ("GET", "/v2"),
    ("GET", "/v2/models"),
    ("GET", "/v2/models/colours"),
    ("POST", "/v2/models/colours/infer"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/colours/unload"),
    ("GET", "/v1/models"),
    ("POST", "/v1/models/colours:predict"),
    ("GET", "/v1/models/colours/metadata"),
    ("GET", "/v1/models/colours/metadata%0A"),
    ("GET", "/nowhere"),
    ("POST", "/"),
    ("OPTIONS", CLASSIFY),
    ("GET", "/v2/models/colours%2fready/x"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.mkdir()
    (path / "ann").write_text(f"{KEY}\n")
    (path / "bob").write_text(f"{OTHER}\n")
    return path


@pytest.fixture
def locked(make_server: Callable[..., Running], folder: Path) -> Running:
    return make_server(api_keys_path=folder, api_keys_seconds=0.0)


def client_at(state: ServerState, address: str) -> httpx.AsyncClient:
    """A client that connects from this address."""
    transport = httpx.ASGITransport(create_app(state), client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60)


async def classify(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post(CLASSIFY, content=image_bytes(), headers={**PNG, **headers})


def rejected(server: Running, reason: str) -> float | None:
    return server.state.metrics.registry.get_sample_value("imageclassifier_rejected_total", {"reason": reason})


def test_without_auth_settings_the_middleware_is_not_installed(make_state: Callable[..., ServerState]) -> None:
    async def app(*_: object) -> None: ...

    assert with_authentication(app, make_state()) is app
    assert isinstance(with_authentication(app, make_state(rate_limit=1.0)), AuthMiddleware)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer   {KEY} "},
        {"X-API-Key": OTHER},
        {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"},
        {"X-API-Key": KEY, "Authorization": "Basic cHJveHk6cHJveHk="},
    ],
)
async def test_a_valid_key_is_accepted(locked: Running, headers: dict[str, str]) -> None:
    assert (await classify(locked.client, **headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "API key is required"),
        ({"Authorization": f"Basic {KEY}"}, "API key is required"),
        ({"Authorization": "Bearer"}, "Unknown API key"),
        ({"Authorization": f"Bearer {KEY[:-1]}"}, "Unknown API key"),
        ({"X-API-Key": KEY.upper()}, "Unknown API key"),
        ({"X-API-Key": ""}, "Unknown API key"),
        ({"X-API-Key": "x" * 20_000}, "Unknown API key"),
        ({"X-API-Key": f"{KEY}, {OTHER}"}, "Unknown API key"),
        ({"X-API-Key": KEY, "Authorization": f"Bearer {OTHER}"}, "two different"),
    ],
)
async def test_an_invalid_key_is_rejected(locked: Running, headers: dict[str, str], expected: str) -> None:
    response = await classify(locked.client, **headers)
    assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
    assert response.headers["www-authenticate"].startswith('Bearer realm="imageclassifier"')
    assert ("invalid_token" in response.headers["www-authenticate"]) is (expected != "API key is required")
    assert expected in response.json()["detail"]
    assert response.json()["reason"] == "unauthorized"
    assert rejected(locked, "unauthorized") == 1


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_all_other_paths_require_a_key(locked: Running, method: str, path: str) -> None:
    assert (await locked.client.request(method, path)).status_code == 401


@pytest.mark.parametrize("path", ["/v1/models/colours:predict", "/v2/models/colours/infer"])
async def test_v1_and_v2_report_401_in_their_own_format(locked: Running, path: str) -> None:
    response = await locked.client.post(path, json={})
    assert response.status_code == 401
    assert set(response.json()) == {"error"}
    assert response.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("path", [*PROBES, *OPEN])
async def test_probes_metrics_and_the_page_need_no_key(locked: Running, path: str) -> None:
    assert (await locked.client.get(path)).status_code == 200


async def test_the_body_is_not_read_before_the_key_is_checked(
    make_state: Callable[..., ServerState], folder: Path
) -> None:
    order: list[str] = []

    async def receive() -> dict[str, Any]:
        order.append("read")
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Any) -> None:
        order.append(message["type"])

    for expects, read in ((b"", ["read"]), (b"100-continue", [])):
        scope = {
            "type": "http",
            "method": "POST",
            "path": CLASSIFY,
            "query_string": b"",
            "headers": [(b"content-length", b"9000000"), (b"expect", expects)],
            "client": ("192.0.2.1", 1),
        }
        await create_app(make_state(api_keys_path=folder))(scope, receive, send)
        assert order[:2] == ["http.response.start", "http.response.body"]
        assert [step for step in order if step == "read"] == read
        order.clear()


async def test_changed_keys_are_picked_up_at_run_time(locked: Running, folder: Path) -> None:
    assert (await classify(locked.client, **WITH_KEY)).status_code == 200
    (folder / "ann").write_text("another-key-of-ann-012345\n")
    assert (await classify(locked.client, **WITH_KEY)).status_code == 401
    assert (await classify(locked.client, **{"X-API-Key": "another-key-of-ann-012345"})).status_code == 200


async def test_key_files_are_checked_at_the_configured_interval(
    make_server: Callable[..., Running], folder: Path
) -> None:
    server = make_server(api_keys_path=folder, api_keys_seconds=3600.0)
    (folder / "ann").unlink()
    assert (await classify(server.client, **WITH_KEY)).status_code == 200


async def test_the_log_names_the_key_and_never_shows_one(
    locked: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await classify(locked.client, **WITH_KEY)
    await classify(locked.client, **{"X-API-Key": "a-wrong-key-0123456789"})
    records = [record.__dict__ for record in caplog.records if record.message == "Request"]
    assert [record["fields"].get("key") for record in records] == ["ann", None]
    assert [record["fields"].get("reason") for record in records] == [None, "unauthorized"]
    assert KEY not in str(records)
    assert "a-wrong-key" not in str(records)


async def test_requests_beyond_the_burst_get_429_with_retry_after(make_server: Callable[..., Running]) -> None:
    server = make_server(rate_limit=0.1, rate_limit_burst=2)
    answers = [await classify(server.client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["content-type"] == "application/problem+json"
    assert 8 <= int(answers[2].headers["retry-after"]) <= 10
    assert answers[2].json()["reason"] == "rate-limited"
    assert rejected(server, "rate-limited") == 1
    as_v2 = await server.client.post("/v2/models/colours/infer", json={})
    assert (as_v2.status_code, set(as_v2.json())) == (429, {"error"})
    assert int(as_v2.headers["retry-after"]) >= 8


async def test_probes_and_metrics_are_neither_limited_nor_counted(make_server: Callable[..., Running]) -> None:
    server = make_server(rate_limit=0.1, rate_limit_burst=1)
    for path in PROBES * 3:
        assert (await server.client.get(path)).status_code == 200
    assert (await classify(server.client)).status_code == 200
    assert (await classify(server.client)).status_code == 429
    for path in PROBES:
        assert (await server.client.get(path)).status_code == 200


async def test_the_rate_limit_is_per_ipv4_address_and_per_ipv6_64(
    make_state: Callable[..., ServerState],
) -> None:
    app = create_app(make_state(rate_limit=0.1, rate_limit_burst=1))

    async def status(address: str) -> int:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return (await classify(client)).status_code

    addresses = ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    assert [await status(address) for address in addresses] == [200, 200, 429, 200, 429, 200]


async def test_with_keys_the_rate_limit_is_per_key_name(make_server: Callable[..., Running], folder: Path) -> None:
    (folder / "ann").write_text(f"{KEY}\na-second-key-of-ann-0123\n")
    server = make_server(api_keys_path=folder, rate_limit=0.1, rate_limit_burst=1)
    keys = (KEY, "a-second-key-of-ann-0123", OTHER, OTHER)
    answers = [await classify(server.client, **{"X-API-Key": key}) for key in keys]
    assert [answer.status_code for answer in answers] == [200, 429, 200, 429]


async def test_guessing_keys_is_limited_by_address_and_does_not_affect_valid_keys(
    make_server: Callable[..., Running], folder: Path
) -> None:
    server = make_server(api_keys_path=folder, rate_limit=0.1, rate_limit_burst=2)
    guesses = [await classify(server.client, **{"X-API-Key": f"guess-{number:016}"}) for number in range(5)]
    assert [guess.status_code for guess in guesses] == [401, 401, 429, 429, 429]
    assert (await classify(server.client, **WITH_KEY)).status_code == 200


async def test_a_batch_counts_each_image(make_server: Callable[..., Running]) -> None:
    server = make_server(rate_limit=0.1, rate_limit_burst=4)
    files = [("file", ("x.png", image_bytes())) for _ in range(6)]
    assert (await server.client.post(f"{CLASSIFY}/batch", files=files)).status_code == 200
    refused = await classify(server.client)
    assert refused.status_code == 429
    assert 25 <= int(refused.headers["retry-after"]) <= 30  # six taken of a burst of four: wait for three tokens


async def test_a_forwarded_address_is_used_only_from_a_trusted_proxy(
    make_state: Callable[..., ServerState],
) -> None:
    trusted = networks("10.0.0.0/8")
    state = make_state(rate_limit=0.1, rate_limit_burst=1, trusted_proxies=trusted)
    for proxy, second in (("10.0.0.1", 200), ("192.0.2.1", 429)):
        async with client_at(state, proxy) as client:
            named = ({"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"})
            assert [(await classify(client, **headers)).status_code for headers in named] == [200, second]


async def test_the_log_has_the_client_address_behind_a_proxy(
    make_state: Callable[..., ServerState], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with client_at(make_state(trusted_proxies=networks("10.0.0.0/8")), "10.0.0.1") as client:
        await classify(client, **{"X-Forwarded-For": "1.1.1.1, 198.51.100.1"})
    (fields,) = [record.__dict__["fields"] for record in caplog.records if record.message == "Request"]
    assert fields["client"] == "198.51.100.1"
    assert "key" not in fields


async def test_openapi_declares_which_paths_require_a_key(locked: Running) -> None:
    document = (await locked.client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {"bearer": "http", "apiKey": "apiKey"}
    assert document["security"] == [{"bearer": []}, {"apiKey": []}]
    paths = document["paths"]
    free = {path for path, methods in paths.items() for operation in methods.values() if "security" in operation}
    named = {path.replace("{name}", "colours") for path in free}
    assert set(PROBES) - {"/metrics"} <= named
    assert CLASSIFY not in free
    for path, methods in paths.items():
        for operation in methods.values():
            assert ("401" in operation["responses"]) is (path not in free)
    assert "429" not in json.dumps(document)
    assert "API key is required" in (await locked.client.get("/docs")).text


async def test_openapi_declares_no_keys_if_none_are_configured(make_server: Callable[..., Running]) -> None:
    document = (await make_server().client.get("/openapi.json")).json()
    assert "security" not in document
    assert "401" not in document["paths"][CLASSIFY]["post"]["responses"]
    limited = (await make_server(rate_limit=5.0).client.get("/openapi.json")).json()
    assert "security" not in limited
    assert "429" in limited["paths"][CLASSIFY]["post"]["responses"]
    assert "429" not in limited["paths"]["/api/v1/health"]["get"]["responses"]
