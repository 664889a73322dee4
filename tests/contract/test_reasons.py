"""Every reason that a condition or an Event can have has a section in operator/REASONS.md, and no other has one.

The reasons come from the operator's source, from the runtime's errors, and from the components of Kubernetes whose
reasons are passed on: of those, the page has the usual ones.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageclassifier_operator
import pytest
from imageclassifier_operator.api import Autoscaling, ModelSource, Spec
from imageclassifier_operator.api.exposure import Gateway, ParentRef
from imageclassifier_operator.apply import problem_of
from imageclassifier_operator.kube import RejectedError
from imageclassifier_operator.revisions.decision import Decision
from imageclassifier_operator.revisions.revision import Revision
from imageclassifier_operator.status import Observation, ObservedChild, Problem, compute
from imageclassifier_operator.status.exposure import gateway_ready
from imageclassifier_operator.status.optional import autoscaling_ready
from imageclassifier_operator.status.pods import cause_of
from imageclassifier_operator.status.rollout import ready_verdict

from tests import crd
from tests.contract import pods, runtime_reasons

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = crd.ROOT / "operator" / "REASONS.md"
_TEXT = _PAGE.read_text()
_SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", _TEXT, re.MULTILINE | re.DOTALL))

_PACKAGE = Path(imageclassifier_operator.__file__).parent
_MODULES = {file.relative_to(_PACKAGE): ast.parse(file.read_text()) for file in sorted(_PACKAGE.rglob("*.py"))}
_CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]+")

_PASSED_ON = re.compile(
    r"""
    (\w+\.)*reason                      # an argument, or an attribute of a verdict, problem, cause or error
    | .*\.get\('reason'\) | \w+\['reason'\]
    | _camel_case\(verdict\.reason\)
    | condition_type                    # stands in for a reason that a controller does not report
    | found                             # of cause_in_events, which has the keys of its tables
    | stopped                           # of _why_stopped: the kubelet's, or one of _OF_PODS
    | self\._reason_to_wait\(\)         # a sentence about a candidate, and no reason of a condition
    """,
    re.VERBOSE,
)
"""Expressions whose reasons come from somewhere else: from another place in the source, or from an API object."""

_OF_PODS = ("Evicted", "NodeAffinity", "NodeShutdown", "OutOfcpu", "OutOfmemory", "OutOfpods", "Terminated")
_OF_CONTAINERS = ("Completed", "ContainerStatusUnknown", "StartError")
_OF_THE_SCHEDULER = ("SchedulerError", "SchedulingGated")
_OF_THE_API_SERVER = ("BadRequest", "Invalid")
_OF_AUTOSCALERS = ("FailedGetResourceMetric", "ScalingDisabled")
_OF_GATEWAYS = ("NoMatchingListenerHostname", "NoMatchingParent", "NotAllowedByListeners")
_OF_REPLICA_SETS = ("FailedDelete",)
_OF_NOBODY = ("Unknown",)
_USUAL = {
    *_OF_PODS,
    *_OF_CONTAINERS,
    *_OF_THE_SCHEDULER,
    *_OF_THE_API_SERVER,
    *_OF_AUTOSCALERS,
    *_OF_GATEWAYS,
    *_OF_REPLICA_SETS,
    *_OF_NOBODY,
}
"""Reasons that are passed on, and that have a section because they are usual. Each has a test below."""

_IN_MESSAGES = {"UpgradeAvailable"}
"""The first word of a sentence that a message can have. It reads like a reason, so it has a section too."""


def _spec(**fields: Any) -> Spec:
    return Spec(model=ModelSource(name="pets", uris=("bundled:pets",), sha256="a" * 64), **fields)


def _reason_expressions(module: ast.Module) -> Iterator[ast.expr]:
    """Yield each expression that is passed as `reason=`, is assigned to `reason`, or has this key in a dict."""
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg == "reason":
            yield node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "reason":
                    yield value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _assigned_to_reason(target, node.value)
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            yield from _assigned_to_reason(node.target, node.value)


def _assigned_to_reason(target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Name) and target.id == "reason":
        yield value
    elif isinstance(target, ast.Tuple):
        values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
        for each, its_value in zip(target.elts, values, strict=True):
            yield from _assigned_to_reason(each, its_value)


def _alternatives(expression: ast.expr) -> Iterator[ast.expr]:
    """Yield the operands of `or`, and both values of a conditional expression."""
    if isinstance(expression, ast.IfExp):
        parts = [expression.body, expression.orelse]
    elif isinstance(expression, ast.BoolOp):
        parts = expression.values
    else:
        yield expression
        return
    for part in parts:
        yield from _alternatives(part)


def _found() -> Iterator[tuple[str, ast.expr]]:
    """Yield the place and each alternative of all expressions for reasons in the operator."""
    for file, module in _MODULES.items():
        for expression in _reason_expressions(module):
            for alternative in _alternatives(expression):
                yield f"{file}:{alternative.lineno}", alternative


def _keys_of_tables() -> Iterator[str]:
    """Yield the keys of the dicts and sets of reasons, which are about reasons that are passed on."""
    for file, module in _MODULES.items():
        if file.parts[0] != "status" and file.name != "events.py":
            continue
        for node in module.body:
            values = list(ast.walk(node.value)) if isinstance(node, ast.Assign) else []
            for value in values:
                elements = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [])
                words = [each.value if isinstance(each, ast.Constant) else None for each in elements]
                if not isinstance(value, ast.Tuple) and all(_is_word(word) for word in words):
                    yield from (str(word) for word in words)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _CAMEL_CASE.fullmatch(value) is not None


def _constants() -> set[str]:
    constants = (each.value for _, each in _found() if isinstance(each, ast.Constant))
    return {value for value in constants if isinstance(value, str) and value}


def _all_reasons() -> set[str]:
    return {*_constants(), *_keys_of_tables(), *runtime_reasons.ALL, *_USUAL}


def test_the_source_of_every_reason_is_known() -> None:
    """A constant or a function for a reason, for example, would be invisible to the other tests."""
    others = {place: ast.unparse(each) for place, each in _found() if not isinstance(each, ast.Constant)}
    assert {place: text for place, text in others.items() if not _PASSED_ON.fullmatch(text)} == {}


def test_the_search_finds_each_form_of_a_reason() -> None:
    forms = """
Verdict(reason="One"); reason = x.get("reason") or "Two"; body = {"reason": "Three"}
reason, other = ("Four" if x else "Five"), 1
"""
    expressions = _reason_expressions(ast.parse(forms))
    found = {each.value for one in expressions for each in _alternatives(one) if isinstance(each, ast.Constant)}
    assert found == {"One", "Two", "Three", "Four", "Five"}
    assert {"ErrImagePull", "ModelUnreachable", "FailedMount", "DeploymentMissing"} <= set(_keys_of_tables())
    assert "Deployment" not in _keys_of_tables()


def test_every_reason_has_a_section_and_no_other_has_one() -> None:
    expected = _all_reasons() | _IN_MESSAGES
    assert sorted(expected - _SECTIONS.keys()) == [], "add a section to operator/REASONS.md"
    assert sorted(_SECTIONS.keys() - expected) == [], "nothing has this reason any more"


def test_every_reason_is_in_camel_case() -> None:
    assert [reason for reason in _all_reasons() if not _is_word(reason)] == []


def test_the_sections_are_sorted() -> None:
    titles = re.findall(r"^### (.+)$", _TEXT, re.MULTILINE)
    assert titles == sorted(set(titles), key=str.casefold)
    assert titles == list(_SECTIONS)


@pytest.mark.parametrize("reason", _SECTIONS)
def test_a_section_says_what_it_means_what_to_look_at_and_what_to_do(reason: str) -> None:
    meaning, *steps = re.split(r"^- ", _SECTIONS[reason], flags=re.MULTILINE)
    assert len(meaning.split()) >= 5
    assert [step.partition(":")[0] for step in steps] == ["**Look**", "**Do**"]


def test_every_link_leads_to_a_section_and_the_table_has_every_reason() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", _TEXT, re.MULTILINE)
    }
    readme = (crd.ROOT / "operator" / "README.md").read_text()
    links = re.findall(r"\[(\w[^\]]*)\]\(#([\w-]+)\)", _TEXT)
    assert {anchor for _, anchor in links} <= anchors
    assert set(re.findall(r"\(REASONS\.md#([\w-]+)\)", readme)) <= anchors
    assert [text for text, anchor in links if text in _SECTIONS and anchor != text.lower()] == []
    table = set(re.findall(r"\[(\w+)\]", "".join(re.findall(r"^\|.*\|$", _TEXT, re.MULTILINE))))
    assert table == set(_SECTIONS)


@pytest.mark.parametrize("reason", _OF_PODS)
def test_the_reason_of_a_failed_pod_is_passed_on(reason: str) -> None:
    cause = cause_of({"metadata": {"name": "pets-1"}, "status": {"phase": "Failed", "reason": reason}})
    assert cause is not None
    assert cause.reason == reason


@pytest.mark.parametrize("reason", _OF_CONTAINERS)
def test_the_reason_of_a_container_is_passed_on(reason: str) -> None:
    state = {"terminated": {"exitCode": 0, "reason": reason}}
    status = {"containerStatuses": [{"name": "server", "state": state}]}
    cause = cause_of({"metadata": {"name": "pets-1"}, "status": status})
    assert cause is not None
    assert cause.reason == reason


@pytest.mark.parametrize("reason", _OF_THE_SCHEDULER)
def test_the_reason_of_the_scheduler_is_passed_on(reason: str) -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": reason}]
    cause = cause_of({"metadata": {"name": "pets-1"}, "status": {"conditions": conditions}})
    assert cause is not None
    assert cause.reason == reason


@pytest.mark.parametrize("reason", _OF_THE_API_SERVER)
def test_the_reason_of_the_api_server_is_passed_on(reason: str) -> None:
    assert problem_of(RejectedError("no", status=422, reason=reason), "Service").reason == reason


@pytest.mark.parametrize("reason", _OF_REPLICA_SETS)
def test_the_reason_of_a_replica_set_is_passed_on(reason: str) -> None:
    conditions = [{"type": "ReplicaFailure", "status": "True", "reason": reason}]
    deployment = {"metadata": {"name": "pets"}, "status": {"conditions": conditions}}
    assert ready_verdict(Observation(deployment=deployment)).reason == reason


@pytest.mark.parametrize("reason", _OF_AUTOSCALERS)
def test_the_reason_of_an_autoscaler_is_passed_on(reason: str) -> None:
    conditions = [
        {"type": "AbleToScale", "status": "True"},
        {"type": "ScalingActive", "status": "False", "reason": reason},
    ]
    child = ObservedChild(live={"status": {"conditions": conditions}}, problem=None, served=True)
    assert autoscaling_ready(_spec(autoscaling=Autoscaling()), child).reason == reason


@pytest.mark.parametrize("reason", _OF_GATEWAYS)
def test_the_reason_of_a_gateway_is_passed_on(reason: str) -> None:
    parent = {"name": "public"}
    accepted = {"type": "Accepted", "status": "False", "reason": reason}
    report: dict[str, Any] = {"parentRef": parent, "controllerName": "x.dev/gateway", "conditions": [accepted]}
    live = {"metadata": {"namespace": "a"}, "spec": {"parentRefs": [parent]}, "status": {"parents": [report]}}
    spec = _spec(gateway=Gateway(parent_refs=(ParentRef(name="public"),)))
    assert gateway_ready(spec, ObservedChild(live=live, problem=None, served=True)).reason == reason


@pytest.mark.parametrize("reason", _OF_NOBODY)
def test_a_reason_without_letters_gets_a_name(reason: str) -> None:
    observed = Observation(problems=[Problem(kind="Service", reason="-", message="no")])
    status = compute(pods.parsed({}), observed, conditions={}, previous={}, now="2026-01-01T00:00:00Z")
    assert status.conditions[0]["reason"] == reason


def test_the_message_about_an_upgrade_begins_like_a_reason() -> None:
    accepted, candidate = Revision(name="a", template={}), Revision(name="b", template={"spec": {}})
    message = Decision(accepted=accepted, candidate=candidate).message
    assert {message.partition(":")[0]} == _IN_MESSAGES
