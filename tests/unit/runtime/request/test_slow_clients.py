"""Connections that are closed when there are too many: those that have waited longest for their clients."""

from __future__ import annotations

from imageclassifier_runtime.request.slow_clients import (
    GRACE_SECONDS,
    MIN_BYTES_PER_SECOND,
    close_longest_waiting,
    is_slow,
)


class Waiting:
    def __init__(self, since: float | None) -> None:
        self.since = since
        self.dropped = False

    def waiting_since(self, now: float) -> float | None:
        return self.since

    def drop(self) -> None:
        self.dropped = True


def test_the_connection_that_waited_longest_is_closed() -> None:
    connections = [Waiting(5.0), Waiting(3.0), Waiting(None), Waiting(4.0)]
    assert close_longest_waiting(connections, 8, 10.0) == 1
    assert [connection.dropped for connection in connections] == [False, True, False, False]


def test_several_of_many_are_closed_at_a_time() -> None:
    connections = [Waiting(float(number)) for number in range(512)]
    assert close_longest_waiting(connections, 512, 1000.0) == 16
    assert [connection.since for connection in connections if connection.dropped] == [float(n) for n in range(16)]


def test_connections_being_served_are_kept() -> None:
    connections = [Waiting(None) for _ in range(40)]
    assert close_longest_waiting(connections, 8, 10.0) == 0
    assert not any(connection.dropped for connection in connections)


def test_a_client_is_slow_below_the_minimum_rate_after_the_grace_period() -> None:
    assert not is_slow(0, GRACE_SECONDS)
    assert is_slow(0, GRACE_SECONDS + 0.1)
    assert not is_slow(MIN_BYTES_PER_SECOND * 60, 60)
    assert is_slow(MIN_BYTES_PER_SECOND * 60 - 1, 60)
