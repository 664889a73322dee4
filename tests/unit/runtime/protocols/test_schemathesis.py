"""Valid and invalid requests get only responses that the OpenAPI document declares."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.environments import python_of
from tests.unit.runtime.process import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.fixture
def served(model_path: Path) -> Iterator[Served]:
    server = Served(MODEL_DIR=model_path, MODEL_NAME="colours")
    yield server
    server.kill()


@pytest.mark.timeout(600)
def test_every_response_conforms_to_the_openapi_document(served: Served, tmp_path: Path) -> None:
    # Half of the requests get the real model name, because random names would never match.
    (tmp_path / "schemathesis.toml").write_text('[parameters]\n"path.name" = ["colours", "other"]\n')
    schemathesis = python_of("schemathesis").with_name("schemathesis")
    done = subprocess.run(
        [
            schemathesis,
            "run",
            f"http://127.0.0.1:{served.port}/openapi.json",
            f"--checks={','.join(_CHECKS)}",
            "--phases=examples,coverage,fuzzing",
            "--seed=1",
            "--max-examples=10",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert served.get("/api/v1/health/ready") == 200
    assert "passed" in done.stdout
