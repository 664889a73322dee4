"""Who has to go when there are too many: those that wait longest for their clients, and nobody who is served."""

from __future__ import annotations

from imageclassifier_runtime.request.slow_clients import GRACE_SECONDS, SLOWEST, is_slow, make_room


class Waiting:
    def __init__(self, since: float | None) -> None:
        self.since = since
        self.dropped = False

    def waits_since(self, now: float) -> float | None:
        return self.since

    def drop(self) -> None:
        self.dropped = True


def test_the_one_that_waits_longest_goes() -> None:
    connections = [Waiting(5.0), Waiting(3.0), Waiting(None), Waiting(4.0)]
    assert make_room(connections, 8, 10.0) == 1
    assert [connection.dropped for connection in connections] == [False, True, False, False]


def test_of_many_some_go_at_once() -> None:
    connections = [Waiting(float(number)) for number in range(512)]
    assert make_room(connections, 512, 1000.0) == 16
    assert [connection.since for connection in connections if connection.dropped] == [float(n) for n in range(16)]


def test_nobody_who_is_served_goes() -> None:
    connections = [Waiting(None) for _ in range(40)]
    assert make_room(connections, 8, 10.0) == 0
    assert not any(connection.dropped for connection in connections)


def test_nobody_is_slow_within_the_grace_and_a_steady_sender_never() -> None:
    assert not is_slow(0, GRACE_SECONDS)
    assert is_slow(0, GRACE_SECONDS + 0.1)
    assert not is_slow(SLOWEST * 60, 60)
    assert is_slow(SLOWEST * 60 - 1, 60)
