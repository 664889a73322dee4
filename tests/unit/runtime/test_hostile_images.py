"""No image, however broken, gets an answer outside its list, and none keeps its room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.scenarios.hostile_images import cases

if TYPE_CHECKING:
    from tests.unit.runtime.support import Running


async def test_every_hostile_image_gets_an_answer_that_is_right_for_it(server: Running) -> None:
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


def test_there_are_at_least_200_cases_and_they_are_the_same_every_time() -> None:
    first, second = cases(), cases()
    assert len(first) >= 200
    assert first == second
