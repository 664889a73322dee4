"""One cluster and one operator for all scenarios, a namespace for each, and diagnostics of failed ones."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.kube.warnings import LOGGED

from e2e import audit, lifecycle, model_store
from e2e.cluster.controlplane import ADMIN
from e2e.diagnostics import dump
from e2e.install import (
    OPERATOR_USER,
    install,
    install_http_route_crd,
    install_service_monitor_crd,
    operator_log,
    provide_images,
)
from e2e.kube import open_kube
from e2e.measure.first_response import PHOTOGRAPH
from e2e.target import target_from

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from e2e.kube import Kube

_TIMEOUT_SECONDS = 900
"""For one scenario, including the start of the cluster and the image builds that the first one waits for."""

_REPORTS = pytest.StashKey[dict[str, bool]]()
_SUMMARY_LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fleets", type=int, default=3, help="fleets in the scenario of an upgrade (3)")
    parser.addoption("--rest-seconds", type=float, default=60, help="seconds to count requests at rest (60)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SUMMARY_LINES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_SUMMARY_LINES]:
        terminalreporter.section("figures")
        for line in config.stash[_SUMMARY_LINES]:
            terminalreporter.line(line)


@pytest.fixture
def add_to_summary(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to the section "figures" at the end of the test run."""
    return request.config.stash[_SUMMARY_LINES].append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash.setdefault(_REPORTS, {})[report.when] = report.failed
    return report


@pytest.fixture(scope="session")
def images() -> Mapping[str, str]:
    """The images' names in the cluster; starts the local cluster if needed."""
    target = target_from()
    reason = lifecycle.obstacle(target)
    if reason:
        pytest.skip(reason)
    lifecycle.bring_up(target)
    return provide_images(target)


@pytest.fixture(scope="session")
def kube(images: Mapping[str, str]) -> Iterator[Kube]:
    """The cluster with the operator installed; a warning of the API server fails the run."""
    with open_kube(target_from()) as opened:
        log = opened.target.audit_log
        start = audit.position(log) if log else None
        install_service_monitor_crd(opened)
        install_http_route_crd(opened)
        install(opened, images)
        yield opened
        assert [line for line in operator_log(opened).splitlines() if LOGGED in line] == []
        if log and start:
            requests = audit.deprecated(audit.lines_since(log, start))
            ours = Counter({key: number for key, number in requests.items() if key.user in {ADMIN, OPERATOR_USER}})
            assert not ours, f"deprecated API versions were used:\n{audit.table(ours)}"


@pytest.fixture
def namespace(kube: Kube, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace, deleted afterwards with everything in it."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kube.create("namespaces", {"metadata": {"name": name}})
    yield name
    if any(request.node.stash.get(_REPORTS, {}).values()):
        print(dump(kube, name))
    kube.delete("namespaces", name)


@pytest.fixture
def other_namespace(kube: Kube) -> Iterator[str]:
    """A second new namespace."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kube.create("namespaces", {"metadata": {"name": name}})
    yield name
    kube.delete("namespaces", name)


@pytest.fixture
def photograph() -> bytes:
    """A small photograph of a cat."""
    return PHOTOGRAPH.read_bytes()


@pytest.fixture(scope="session")
def store(kube: Kube, images: Mapping[str, str]) -> Iterator[str]:
    """The namespace of a model store that holds the bundled model as a folder."""
    name = f"e2e-store-{uuid.uuid4().hex[:8]}"
    kube.create("namespaces", {"metadata": {"name": name}})
    kube.apply(*model_store.manifests(name, images["runtime"]))
    model_store.wait_for_store(kube, name)
    yield name
    kube.delete("namespaces", name)
