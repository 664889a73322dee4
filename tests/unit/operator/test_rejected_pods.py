"""Messages of the API server that rejects pods, as it words them, get a remedy."""

from __future__ import annotations

import pytest
from imageclassifier_operator.status.rejected_pods import with_remedy


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            'pods "pets-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0',
            "raise the quota",
        ),
        (
            'pods "pets-1" is forbidden: failed quota: small: must specify limits.memory for: server',
            "set spec.resources",
        ),
        (
            'pods "pets-1" is forbidden: maximum cpu usage per Container is 100m, but limit is 1',
            "LimitRange",
        ),
        (
            'pods "pets-1" is forbidden: [minimum memory usage per Pod is 1Gi, but request is 268435456]',
            "LimitRange",
        ),
        (
            'pods "pets-1" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
            "spec.runtime.serviceAccountName",
        ),
        (
            'pods "pets-1" is forbidden: no PriorityClass with name missing was found',
            "spec.scheduling.priorityClassName",
        ),
        (
            'pods "pets-1" is forbidden: pod rejected: RuntimeClass "gvisor" not found',
            "spec.scheduling.runtimeClassName",
        ),
        (
            'pods "pets-1" is forbidden: violates PodSecurity "restricted:latest": seccompProfile',
            "Pod Security level",
        ),
        (
            'Internal error occurred: failed calling webhook "a.example.org": connection refused',
            "repair the webhook",
        ),
        ('admission webhook "a.example.org" denied the request: no', "owner of the webhook or policy"),
        (
            "pods \"pets-1\" is forbidden: ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no",
            "owner of the webhook or policy",
        ),
    ],
)
def test_a_rejection_has_a_remedy(message: str, remedy: str) -> None:
    found = with_remedy(message)
    assert found.startswith(f"{message}; ")
    assert remedy in found.removeprefix(message)


def test_an_unknown_rejection_is_passed_on_unchanged() -> None:
    assert with_remedy("something new.") == "something new."
