"""The command of each container reads all of its environment variables, with the values of the spec."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.manifests.deployment import FINISH_SECONDS
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.settings.commands import BUNDLED, FetchSettings, ServeSettings
from imageclassifier_runtime.settings.credentials import basic
from imageclassifier_runtime.settings.environment import networks

from tests import crd
from tests.contract import pods

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier, ModelSource

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_COMMANDS: dict[str, type[FetchSettings | ServeSettings]] = {"fetch": FetchSettings, "serve": ServeSettings}
# The kubelet expands variables with this prefix into OTEL_RESOURCE_ATTRIBUTES; the server reads only the latter.
_EXPANDED_PREFIX = "OTEL_RESOURCE_ATTRIBUTES_"
_NO_BEARER_TOKEN = {"HTTP_BEARER_TOKEN": ""}


@pytest.fixture(params=pods.VALID_SAMPLES, ids=lambda sample: sample.path.stem)
def ic(request: pytest.FixtureRequest) -> ImageClassifier:
    sample: crd.Sample = request.param
    return pods.parsed(sample.document.get("spec") or {}, name=sample.document["metadata"]["name"])


def _every_field() -> ImageClassifier:
    (sample,) = [sample for sample in pods.VALID_SAMPLES if sample.path.stem == "every-field"]
    return pods.parsed(sample.document["spec"], name="every-field")


def _unknown(command: str, env: Mapping[str, str]) -> set[str]:
    """Return the variables of an environment that a command does not read."""
    recording = pods.RecordingEnvironment(env)
    _COMMANDS[command].from_env(recording)
    others = {"HTTPS_PROXY", "NO_PROXY"}  # of the samples' spec.runtime.env; a server without traces needs none
    return {name for name in env if not name.startswith(_EXPANDED_PREFIX)} - recording.read - others


def test_the_server_gets_the_settings_of_the_spec(ic: ImageClassifier) -> None:
    (server,) = pods.pod_spec(ic)["containers"]
    settings = ServeSettings.from_env(pods.environment(server))
    spec = ic.spec
    assert settings.max_image_bytes == spec.limits.max_image_bytes
    assert settings.max_image_pixels == spec.limits.max_image_pixels
    assert settings.max_queue_size == spec.limits.max_queue_size
    assert settings.drain_seconds == spec.rollout.drain_seconds
    assert settings.max_batch_size == spec.batching.max_batch_size
    assert spec.batching.max_batch_size == 1 or (
        settings.max_queue_delay_milliseconds == spec.batching.max_queue_delay_milliseconds
    )
    assert settings.precision == spec.model.precision
    assert [port["containerPort"] for port in server["ports"]] == [settings.port]
    model = spec.model
    if "fetch" not in pods.containers(ic):
        assert settings.model_dir is None
        assert (settings.model_uri, settings.sha256, settings.model_name) == (
            *model.uris,
            model.sha256,
            model.name,
        )
    else:
        assert settings.model_dir in _mounted(server)


def test_the_server_gets_the_cache_of_the_spec(ic: ImageClassifier) -> None:
    cache = ic.spec.cache
    found = ServeSettings.from_env(pods.environment(pods.containers(ic)["serve"])).cache
    assert found.max_bytes == (0 if cache is None else cache.max_bytes)
    if cache is None or cache.redis is None:
        assert found.redis is None
        return
    assert found.redis is not None
    assert (found.redis.url, found.redis.ttl_seconds) == (cache.redis.url, cache.redis.ttl_seconds)
    login = ("username", "password") if cache.redis.credentials_secret else (None, None)
    assert (found.redis.username, found.redis.password) == login


def test_the_server_gets_the_security_of_the_spec(ic: ImageClassifier) -> None:
    server, security = pods.containers(ic)["serve"], ic.spec.security
    settings = ServeSettings.from_env(pods.environment(server))
    assert settings.trusted_proxies == networks(" ".join(security.trusted_proxies))
    assert (settings.api_keys_path is None) == (security.api_keys_secret is None)
    assert settings.api_keys_path is None or settings.api_keys_path in _mounted(server)
    rate = security.rate_limit
    assert settings.rate_limit == (None if rate is None else rate.requests_per_second)
    assert settings.rate_limit_burst == (None if rate is None else rate.burst)


def test_the_server_gets_the_tracing_of_the_spec(ic: ImageClassifier) -> None:
    tracing = ic.spec.tracing
    found = ServeSettings.from_env(pods.environment(pods.containers(ic)["serve"])).tracing
    if tracing is None:
        assert found is None
        return
    assert found is not None
    assert found.endpoint == f"{tracing.endpoint}/v1/traces"
    assert (found.parent_based, found.ratio) == (True, tracing.sampling_percent / 100)
    assert found.headers == ({"key": "value"} if tracing.headers_secret else {})
    assert found.resource["service.name"] == ic.name
    assert found.resource["service.instance.id"] == "vision.pets-7d5b-x2.server"


def test_the_init_container_gets_the_model_of_the_spec(ic: ImageClassifier) -> None:
    container, model = pods.containers(ic).get("fetch"), ic.spec.model
    assert (container is None) == (model.comes_with_server and ic.spec.runtime.image is None)
    if container is None:
        return
    settings = FetchSettings.from_env(pods.environment(container, _NO_BEARER_TOKEN))
    assert (settings.uris, settings.sha256, settings.model_name) == (model.uris, model.sha256, model.name)
    assert settings.precision == model.precision
    assert settings.credentials_secret == model.credentials_secret
    assert model.credentials_secret is None or settings.credentials.has(model.scheme)
    assert settings.model_dir in _mounted(container)
    assert model.claim is None or settings.volumes_dir / model.claim in _mounted(container)
    _assert_s3_settings(settings, model)


def _assert_s3_settings(settings: FetchSettings, model: ModelSource) -> None:
    if model.s3 is None:
        return
    assert settings.s3_endpoint == model.s3.endpoint
    assert settings.s3_region == model.s3.region
    assert settings.s3_addressing == model.s3.addressing.lower()


def test_both_containers_read_the_ca_certificates_of_the_spec(ic: ImageClassifier) -> None:
    for command, container in pods.containers(ic).items():
        found = _COMMANDS[command].from_env(pods.environment(container, _NO_BEARER_TOKEN)).ca_dir
        assert (found is None) == (ic.spec.runtime.ca_config_map is None)
        assert found is None or found in _mounted(container)


def test_both_containers_read_the_configured_proxies() -> None:
    config = dataclasses.replace(
        pods.CONFIG, runtime_https_proxy="http://user:a$$b@proxy:3128", runtime_no_proxy=".svc"
    )
    spec = {"model": {"name": "mobilenet-v2"}, "tracing": {"otlpEndpoint": "https://collector.example.org"}}
    found = pods.containers(pods.parsed(spec), config)
    tracing = ServeSettings.from_env(pods.environment(found["serve"])).tracing
    assert tracing is not None
    for proxies in (tracing.proxies, FetchSettings.from_env(pods.environment(found["fetch"])).proxies):
        proxy = proxies.find("https", "collector.example.org", 443)
        assert proxy is not None
        assert (proxy.host, proxy.port, proxy.authorization) == ("proxy", 3128, basic("user", "a$$b"))
        assert proxies.find("https", "store.vision.svc", 443) is None


def test_both_containers_use_the_same_model_folder(ic: ImageClassifier) -> None:
    found = pods.containers(ic)
    if "fetch" not in found:
        return
    fetch = FetchSettings.from_env(pods.environment(found["fetch"], _NO_BEARER_TOKEN))
    assert fetch.model_dir == ServeSettings.from_env(pods.environment(found["serve"])).model_dir


def test_the_grace_period_covers_drain_and_shutdown(ic: ImageClassifier) -> None:
    settings = ServeSettings.from_env(pods.environment(pods.containers(ic)["serve"]))
    flush = 0.0 if settings.tracing is None else settings.tracing.flush_seconds
    needed = settings.drain_seconds + settings.finish_seconds + flush
    assert needed < pods.pod_spec(ic)["terminationGracePeriodSeconds"]
    assert settings.finish_seconds < FINISH_SECONDS


def test_every_variable_of_a_pod_is_read_by_the_command_that_gets_it(ic: ImageClassifier) -> None:
    for command, container in pods.containers(ic).items():
        assert _unknown(command, pods.environment(container, _NO_BEARER_TOKEN)) == set(), command


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_misspelt_variable_is_detected(command: str) -> None:
    env = pods.environment(pods.containers(_every_field())[command])
    assert _unknown(command, {**env, "IMAGECLASSIFIER_MODEL_DIRR": "/x"}) == {"IMAGECLASSIFIER_MODEL_DIRR"}


def test_a_variable_of_one_command_is_unknown_to_the_other() -> None:
    env = pods.environment(pods.containers(_every_field())["serve"])
    assert "IMAGECLASSIFIER_MAX_QUEUE_SIZE" in _unknown("fetch", env)


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_container_runs_an_existing_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command in pods.containers(_every_field())
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    "url", ["redis://redis", "rediss://redis.vision.svc:6380/1", "redis://[fd00::1]:6379", "redis://redis:6379/0"]
)
def test_a_redis_url_that_the_schema_accepts_is_read(url: str) -> None:
    spec = {"cache": {"redis": {"url": url}}}
    assert not crd.schema_errors({"metadata": {}, "spec": spec})
    redis = ServeSettings.from_env(pods.environment(pods.containers(pods.parsed(spec))["serve"])).cache.redis
    assert redis is not None
    assert redis.url == url


@pytest.mark.parametrize(("percent", "ratio"), [(0, 0.0), (1, 0.01), (7, 0.07), (50, 0.5), (100, 1.0)])
def test_the_sampling_percentage_becomes_a_ratio(percent: int, ratio: float) -> None:
    spec = {"tracing": {"otlpEndpoint": "http://collector:4318", "samplingPercent": percent}}
    tracing = ServeSettings.from_env(pods.environment(pods.containers(pods.parsed(spec))["serve"])).tracing
    assert tracing is not None
    assert tracing.ratio == ratio


def test_the_resource_of_a_span_names_its_pod_and_container() -> None:
    tracing = ServeSettings.from_env(pods.environment(pods.containers(_every_field())["serve"])).tracing
    assert tracing is not None
    assert tracing.resource == {
        "service.name": "every-field",
        "service.namespace": "vision",
        "service.instance.id": "vision.pets-7d5b-x2.server",
        "k8s.namespace.name": "vision",
        "k8s.deployment.name": "every-field",
        "k8s.pod.name": "pets-7d5b-x2",
        "k8s.pod.uid": "0a1b",
        "k8s.node.name": "node-1",
        "k8s.container.name": "server",
    }


def _fetch_settings(uri: str, secrets: Mapping[str, str], **model: Any) -> FetchSettings:
    source = {"uri": uri, "sha256": _SHA256, "credentialsSecretRef": {"name": "model-store"}, **model}
    assert not crd.schema_errors({"metadata": {}, "spec": {"model": source}})
    container = pods.containers(pods.parsed({"model": source}))["fetch"]
    return FetchSettings.from_env(pods.environment(container, secrets))


def test_the_init_container_gets_the_keys_of_an_s3_bucket() -> None:
    keys = _fetch_settings("s3://models/m.onnx", {}).credentials.s3
    assert keys is not None
    assert (keys.access_key, keys.secret_key) == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert keys.session_token == "AWS_SESSION_TOKEN"
    keys = _fetch_settings("s3://models/m.onnx", {"AWS_SESSION_TOKEN": ""}).credentials.s3
    assert keys is not None
    assert keys.session_token is None


def test_the_init_container_gets_the_token_of_hugging_face() -> None:
    assert _fetch_settings(f"hf://owner/repo@{_COMMIT}", {}).credentials.hf_token == "HF_TOKEN"


@pytest.mark.parametrize(
    ("missing", "authorization"),
    [
        (("HTTP_USERNAME", "HTTP_PASSWORD"), "Bearer HTTP_BEARER_TOKEN"),
        (("HTTP_BEARER_TOKEN",), basic("HTTP_USERNAME", "HTTP_PASSWORD")),
        (("HTTP_BEARER_TOKEN", "HTTP_USERNAME", "HTTP_PASSWORD"), None),
    ],
)
def test_the_init_container_gets_the_credentials_of_an_http_server(
    missing: tuple[str, ...], authorization: str | None
) -> None:
    settings = _fetch_settings("https://models.example.org/m.onnx", dict.fromkeys(missing, ""))
    assert settings.credentials.http_authorization == authorization


@pytest.mark.parametrize(
    "addressing", pods.SPEC_SCHEMA["properties"]["model"]["properties"]["s3"]["properties"]["addressing"]["enum"]
)
def test_every_s3_addressing_style_is_read(addressing: str) -> None:
    settings = _fetch_settings("s3://models/m/", {}, s3={"addressing": addressing})
    assert settings.s3_addressing == addressing.lower()


@pytest.mark.parametrize("precision", pods.SPEC_SCHEMA["properties"]["model"]["properties"]["precision"]["enum"])
def test_every_precision_is_read_by_both_commands(precision: str) -> None:
    for command, container in pods.containers(pods.parsed({"model": {"precision": precision}})).items():
        assert _COMMANDS[command].from_env(pods.environment(container)).precision == precision


def test_the_bundled_model_of_the_catalogue_is_in_the_package() -> None:
    import imageclassifier_runtime

    bundled = Path(imageclassifier_runtime.__file__).parent / "bundled"
    uris = [uri for entry in pods.CONFIG.catalogue.values() for uri in entry.uris if uri.startswith(BUNDLED)]
    assert uris
    assert all((bundled / uri.removeprefix(BUNDLED)).is_dir() for uri in uris)


def test_a_dollar_sign_in_a_uri_is_passed_unchanged() -> None:
    settings = _fetch_settings("https://models.example.org/$(HOME)/$$x/m.onnx", {"HTTP_BEARER_TOKEN": ""})
    assert settings.uris == ("https://models.example.org/$(HOME)/$$x/m.onnx",)


def _mounted(container: Mapping[str, Any]) -> set[Path]:
    return {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
