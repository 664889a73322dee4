"""Every failure reason of a pod has a remedy: the operator adds one, or the pod's message contains it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING

import imageclassifier_runtime
import pytest
from imageclassifier_operator.status.pods import cause_of
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.errors import ApiKeysError, ModelError
from imageclassifier_runtime.fetch import run as fetch_run
from imageclassifier_runtime.settings.commands import FetchSettings

from tests.contract import runtime_reasons
from tests.unit.runtime.certificates import issue_certificate, write_certificate
from tests.unit.runtime.fetch.tls_store import serving, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(imageclassifier_runtime.__file__).parent

# The pod's own message contains the remedy.
_WITH_OWN_REMEDY = {"ModelPrecisionMissing"}


def _condition(termination_message: str) -> str:
    """Return the condition's message for a pod whose init container wrote a termination message."""
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": termination_message}}
    status = {"initContainerStatuses": [{"name": "model", "restartCount": 1, "state": state}]}
    cause = cause_of({"metadata": {"name": "pets-1"}, "status": status})
    assert cause is not None
    assert cause.reason == json.loads(termination_message)["reason"]
    return cause.message


def _raised() -> Iterator[tuple[str, ast.expr]]:
    """Yield the place and the reason of each ModelError in the package."""
    for file in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ModelError":
                yield f"{file.relative_to(_PACKAGE)}:{node.lineno}", node.args[0]


def test_the_runtime_uses_only_declared_reasons() -> None:
    """A variable or an attribute has the reason of another ModelError."""
    places = [place for place, reason in _raised() if not _is_known(reason)]
    assert places == []
    assert {
        reason.id for _, reason in _raised() if isinstance(reason, ast.Name)
    } >= runtime_reasons.MODEL_REASONS.keys()


def _is_known(reason: ast.expr) -> bool:
    if isinstance(reason, ast.Name):
        return reason.id in {*runtime_reasons.MODEL_REASONS, "reason"}
    return isinstance(reason, ast.Attribute) and reason.attr == "reason"


@pytest.mark.parametrize("reason", runtime_reasons.ALL)
def test_every_reason_has_a_remedy(reason: str) -> None:
    message = _condition(json.dumps({"reason": reason, "message": "text"}))
    if reason in _WITH_OWN_REMEDY:
        assert message == "pets-1: text"
    else:
        assert message.startswith("pets-1: text; ")


@pytest.mark.parametrize("reason", sorted(runtime_reasons.MODEL_REASONS.values()))
def test_the_reason_is_reported_if_all_mirrors_fail_with_the_same(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModelError(reason, "text")

    monkeypatch.setattr(fetch_run, "locate", fail)
    log = tmp_path / "termination-log"
    mirrors = ("https://one.example.org/m/", "https://two.example.org/m/")
    settings = FetchSettings(model_dir=tmp_path / "model", uris=mirrors, termination_log=log)
    assert fetch_run.main(settings) == 1
    assert json.loads(log.read_text()) == {"reason": reason, "message": "text; text"}


def test_a_model_without_int8_is_reported_with_the_remedy(tmp_path: Path) -> None:
    folder, log = tmp_path / "source", tmp_path / "termination-log"
    folder.mkdir()
    bundled = _PACKAGE / "bundled" / "cifar10-mobilenet-v2"
    for name in ("model.onnx", "labels.txt", "preprocessor_config.json"):
        (folder / name).write_bytes((bundled / name).read_bytes())
    settings = FetchSettings(
        model_dir=tmp_path / "model",
        uris=(f"file://{folder}/",),
        file_roots=(tmp_path,),
        precision="INT8",
        termination_log=log,
    )
    assert fetch_run.main(settings) == 1
    message = _condition(log.read_text())
    assert "this model lacks: it has no model.int8.onnx" in message
    assert "imageclassifier quantize" in message
    assert message.endswith("or set the precision to FP32 or Auto")


def test_an_invalid_setting_is_reported_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("IMAGECLASSIFIER_TERMINATION_LOG", str(log))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert main(["fetch"]) == 2
    assert _condition(log.read_text()) == (
        "pets-1: AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY: set both; "
        "correct the field of spec, or the key of the Secret, that sets this value"
    )


def test_missing_api_keys_are_reported_with_the_remedy() -> None:
    message = _condition(json.dumps({"reason": ApiKeysError.reason, "message": "there is no API key"}))
    assert "spec.security.apiKeysSecretRef" in message


def test_a_server_of_an_unknown_ca_is_reported_with_the_field_that_trusts_it(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    _, certificate = issue_certificate(tmp_path, "127.0.0.1")
    for server in (certificate, write_certificate(tmp_path)):
        with serving(server, whole) as url:
            settings = FetchSettings(
                model_dir=tmp_path / "model",
                uris=(f"{url}/m.onnx",),
                allow_loopback=True,
                attempts=1,
                termination_log=log,
            )
            assert fetch_run.main(settings) == 1
        message = _condition(log.read_text())
        assert "certificate verify failed" in message
        assert message.endswith("and name it in spec.runtime.caConfigMapRef; retrying")


def test_a_missing_config_map_is_reported_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("IMAGECLASSIFIER_TERMINATION_LOG", str(log))
    # what the kubelet mounts for an optional ConfigMap that does not exist
    (tmp_path / "corporate-ca" / "..2026_11_26").mkdir(parents=True)
    (tmp_path / "corporate-ca" / "..data").symlink_to("..2026_11_26")
    assert main(["fetch", "--ca-dir", str(tmp_path / "corporate-ca"), "--model-dir", str(tmp_path / "model")]) == 2
    message = _condition(log.read_text())
    assert "/corporate-ca is empty; the ConfigMap in this namespace" in message
    assert "spec.runtime.caConfigMapRef" in message
