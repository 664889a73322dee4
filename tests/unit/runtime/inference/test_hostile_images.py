"""Every broken image gets one of its expected responses, and its memory is released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.scenarios.hostile_images import cases
from runtime.stress.mutate import mutant, seeds

if TYPE_CHECKING:
    from tests.unit.runtime.support import Running

RAW = {"Content-Type": "application/octet-stream"}


async def test_every_hostile_image_gets_an_expected_response(server: Running) -> None:
    wrong = []
    for case in cases():
        headers = {"Content-Type": case.content_type} if case.content_type else {}
        response = await server.client.post("/api/v1/classify", content=case.body, headers=headers)
        if response.status_code not in case.statuses:
            wrong.append((case.name, response.status_code, sorted(case.statuses), response.text[:200]))
        elif response.status_code != 200:
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["status"] == response.status_code
    assert not wrong
    admission = server.state.admission
    assert (admission.waiting, admission.running) == (0, 0)
    for pool in (admission.bodies, admission.pixels, admission.workers):
        assert pool.free == pool.capacity


def test_there_are_at_least_200_deterministic_cases() -> None:
    first, second = cases(), cases()
    assert len(first) >= 200
    assert first == second


async def test_every_mutant_of_a_valid_file_is_classified_or_rejected(server: Running) -> None:
    sound = seeds()
    for seed in sound:
        assert (await server.client.post("/api/v1/classify", content=seed.data, headers=RAW)).status_code == 200
    wrong = []
    for number in range(400):
        sent = mutant(0, number, sound)
        headers = {"Content-Type": sent.content_type}
        response = await server.client.post("/api/v1/classify", content=sent.data, headers=headers)
        if response.status_code not in {200, 400, 413, 415}:
            wrong.append((sent.name, response.status_code, response.text[:200]))
    assert not wrong
