"""What `spec.runtime` adds to the pods."""

from __future__ import annotations

import pytest

from tests.unit.operator.manifests.building import CONFIG, FETCHED, built, template


def test_variables_are_in_every_container() -> None:
    env = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "EMPTY"}]
    pod = template({**FETCHED, "runtime": {"env": env}})
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        assert container["env"][-2:] == [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "EMPTY"}]


def test_every_container_runs_the_image_of_the_spec_before_the_configured_one() -> None:
    image = "registry.example.org/team/server:1.2"
    for runtime, expected in (({}, CONFIG.runtime_image), ({"image": image}, image)):
        pod = template({**FETCHED, "runtime": runtime})["spec"]
        assert {each["image"] for each in (*pod["initContainers"], *pod["containers"])} == {expected}


def test_labels_of_the_spec_never_replace_those_that_select_pods() -> None:
    plain = template({})["metadata"]["labels"]
    assert template({"runtime": {"podLabels": {"team": "vision"}}})["metadata"]["labels"] == {
        "team": "vision",
        **plain,
    }


def test_the_own_service_account_stays_while_pods_of_an_older_template_may_use_it() -> None:
    children = built({"runtime": {"serviceAccountName": "shared"}})
    assert children["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "shared"
    assert children["ServiceAccount"]["metadata"]["name"] == "pets"


@pytest.mark.parametrize("account", [None, "shared"])
def test_pods_never_mount_a_token(account: str | None) -> None:
    assert template({"runtime": {"serviceAccountName": account}})["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("value", [True, False])
def test_the_user_namespace_is_that_of_the_spec(value: bool) -> None:
    assert template({"runtime": {"hostUsers": value}})["spec"]["hostUsers"] is value


def test_without_a_user_namespace_in_the_spec_existing_pods_do_not_change() -> None:
    assert "hostUsers" not in template({})["spec"]
