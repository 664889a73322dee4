"""Rate and burst size for each client, in bounded memory."""

from __future__ import annotations

from imageclassifier_runtime.auth.rate_limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def buckets(clock: Clock, *, per_second: float = 2, burst: int = 4, max_buckets: int = 100) -> Buckets:
    return Buckets(per_second=per_second, burst=burst, max_buckets=max_buckets, clock=clock)


def taken(table: Buckets, who: str, attempts: int) -> int:
    return sum(table.take(who) == 0 for _ in range(attempts))


def test_only_a_burst_is_accepted() -> None:
    table = buckets(Clock())
    assert taken(table, "one", 10) == 4


def test_tokens_are_refilled_at_the_rate() -> None:
    clock = Clock()
    table = buckets(clock)
    taken(table, "one", 10)
    let_in = 0
    for _ in range(100):
        clock.now += 0.1
        let_in += taken(table, "one", 3)
    assert let_in == 20


def test_an_idle_bucket_fills_up_to_its_burst() -> None:
    clock = Clock()
    table = buckets(clock)
    taken(table, "one", 10)
    clock.now += 3600
    assert taken(table, "one", 10) == 4


def test_a_request_is_accepted_after_the_reported_delay() -> None:
    clock = Clock()
    table = buckets(clock, per_second=0.3, burst=1)
    assert table.take("one") == 0
    seconds = table.take("one")
    assert seconds == 4
    clock.now += seconds - 1
    assert table.take("one") > 0
    clock.now += 1
    assert table.take("one") == 0


def test_rejected_attempts_cost_nothing() -> None:
    clock = Clock()
    table = buckets(clock)
    taken(table, "one", 1000)
    clock.now += 0.5
    assert table.take("one") == 0


def test_each_client_has_its_own_bucket() -> None:
    table = buckets(Clock())
    taken(table, "one", 10)
    assert taken(table, "two", 10) == 4


def test_charged_tokens_delay_the_next_request() -> None:
    clock = Clock()
    table = buckets(clock)
    assert table.take("one") == 0
    table.charge("one", 7)  # eight in all, four were there
    assert table.take("one") == 3
    clock.now += 2.4
    assert table.take("one") == 1
    clock.now += 0.1
    assert table.take("one") == 0


def test_the_table_size_is_limited() -> None:
    table = buckets(Clock(), max_buckets=50)
    for number in range(5000):
        table.take(f"address-{number}")
        table.charge(f"other-{number}", 3)
    assert len(table) == 50


def test_an_evicted_address_returns_without_its_burst() -> None:
    table = buckets(Clock(), max_buckets=50)
    taken(table, "victim", 10)
    for number in range(50):
        table.take(f"address-{number}")
    assert taken(table, "victim", 10) == 1


def test_a_new_bucket_is_full_if_the_evicted_one_was() -> None:
    clock = Clock()
    table = buckets(clock, max_buckets=2)
    table.take("one")
    table.take("two")
    clock.now += 60
    assert taken(table, "three", 10) == 4


def test_a_recently_used_bucket_is_not_evicted() -> None:
    clock = Clock()
    table = buckets(clock, per_second=0.001, max_buckets=50)
    taken(table, "one", 4)
    for number in range(500):
        table.take(f"address-{number}")
        assert table.take("one") > 0
