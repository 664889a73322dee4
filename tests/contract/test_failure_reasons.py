"""Every reason that a pod fails with tells the user what to do: in the operator's words, or in its own message."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING

import imageclassifier_runtime
import pytest
from imageclassifier_operator.status.pods import cause_of
from imageclassifier_runtime import errors
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.errors import ApiKeysError, ModelError, SettingsError
from imageclassifier_runtime.fetch import run as fetch_run
from imageclassifier_runtime.settings.commands import FetchSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(imageclassifier_runtime.__file__).parent
_OF_MODELS = {
    name: value
    for name, value in vars(errors).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
}
_OF_SETTINGS = {SettingsError.reason, *(error.reason for error in SettingsError.__subclasses__())}
_REASONS = sorted({*_OF_MODELS.values(), *_OF_SETTINGS})

# Their messages say what to do themselves.
_SELF_EXPLANATORY = {"ModelPrecisionMissing"}


def _condition(termination_message: str) -> str:
    """Return the message of the condition for a pod whose init container left a termination message."""
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": termination_message}}
    status = {"initContainerStatuses": [{"name": "model", "restartCount": 1, "state": state}]}
    cause = cause_of({"metadata": {"name": "pets-1"}, "status": status})
    assert cause is not None
    assert cause.reason == json.loads(termination_message)["reason"]
    return cause.message


def _raised() -> Iterator[tuple[str, ast.expr]]:
    """Yield the reason of every ModelError that the package makes, and where that is."""
    for file in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ModelError":
                yield f"{file.relative_to(_PACKAGE)}:{node.lineno}", node.args[0]


def test_the_runtime_fails_only_with_reasons_of_its_list() -> None:
    """Reasons that are passed on come from another ModelError."""
    places = [place for place, reason in _raised() if not _is_known(reason)]
    assert places == []
    assert {reason.id for _, reason in _raised() if isinstance(reason, ast.Name)} >= _OF_MODELS.keys()


def _is_known(reason: ast.expr) -> bool:
    if isinstance(reason, ast.Name):
        return reason.id in {*_OF_MODELS, "reason"}
    return isinstance(reason, ast.Attribute) and reason.attr == "reason"


@pytest.mark.parametrize("reason", _REASONS)
def test_every_reason_has_a_remedy(reason: str) -> None:
    message = _condition(json.dumps({"reason": reason, "message": "said"}))
    if reason in _SELF_EXPLANATORY:
        assert message == "pets-1: said"
    else:
        assert message.startswith("pets-1: said; ")


@pytest.mark.parametrize("reason", sorted(_OF_MODELS.values()))
def test_a_reason_that_all_mirrors_share_is_reported(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModelError(reason, "said")

    monkeypatch.setattr(fetch_run, "locate", fail)
    log = tmp_path / "termination-log"
    mirrors = ("https://one.example.org/m/", "https://two.example.org/m/")
    settings = FetchSettings(model_dir=tmp_path / "model", uris=mirrors, termination_log=log)
    assert fetch_run.main(settings) == 1
    assert json.loads(log.read_text()) == {"reason": reason, "message": "said; said"}


def test_a_model_without_int8_says_what_to_do(tmp_path: Path) -> None:
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
    assert "this model lacks: it holds no model.int8.onnx" in message
    assert "imageclassifier quantize" in message
    assert message.endswith("or set the precision to FP32 or Auto")


def test_a_setting_that_cannot_be_used_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("IMAGECLASSIFIER_TERMINATION_LOG", str(log))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert main(["fetch"]) == 2
    assert _condition(log.read_text()) == (
        "pets-1: AWS_ACCESS_KEY_ID is given without AWS_SECRET_ACCESS_KEY: both go together; "
        "correct the field of spec, or the key of the Secret, that sets this value"
    )


def test_api_keys_that_are_missing_say_what_to_do() -> None:
    message = _condition(json.dumps({"reason": ApiKeysError.reason, "message": "there is no API key"}))
    assert "spec.security.apiKeysSecretRef" in message
