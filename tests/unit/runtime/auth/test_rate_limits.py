"""So many a second and so many at once, for each by himself, in bounded memory."""

from __future__ import annotations

from imageclassifier_runtime.auth.rate_limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def buckets(clock: Clock, *, per_second: float = 2, burst: int = 4, most: int = 100) -> Buckets:
    return Buckets(per_second=per_second, burst=burst, most=most, clock=clock)


def taken(table: Buckets, who: str, attempts: int) -> int:
    return sum(table.take(who) == 0 for _ in range(attempts))


def test_a_burst_is_let_in_and_no_more() -> None:
    table = buckets(Clock())
    assert taken(table, "one", 10) == 4


def test_tokens_come_back_at_the_rate() -> None:
    clock = Clock()
    table = buckets(clock)
    taken(table, "one", 10)
    let_in = 0
    for _ in range(100):
        clock.now += 0.1
        let_in += taken(table, "one", 3)
    assert let_in == 20


def test_rest_fills_a_bucket_to_its_burst_and_not_beyond() -> None:
    clock = Clock()
    table = buckets(clock)
    taken(table, "one", 10)
    clock.now += 3600
    assert taken(table, "one", 10) == 4


def test_a_refusal_says_when_to_come_again_and_that_is_true() -> None:
    clock = Clock()
    table = buckets(clock, per_second=0.3, burst=1)
    assert table.take("one") == 0
    seconds = table.take("one")
    assert seconds == 4
    clock.now += seconds - 1
    assert table.take("one") > 0
    clock.now += 1
    assert table.take("one") == 0


def test_refused_attempts_cost_nothing() -> None:
    clock = Clock()
    table = buckets(clock)
    taken(table, "one", 1000)
    clock.now += 0.5
    assert table.take("one") == 0


def test_each_has_a_bucket_of_his_own() -> None:
    table = buckets(Clock())
    taken(table, "one", 10)
    assert taken(table, "two", 10) == 4


def test_what_is_charged_afterwards_is_waited_for() -> None:
    clock = Clock()
    table = buckets(clock)
    assert table.take("one") == 0
    table.charge("one", 7)  # eight in all, four were there
    assert table.take("one") == 3
    clock.now += 2.4
    assert table.take("one") == 1
    clock.now += 0.1
    assert table.take("one") == 0


def test_no_number_of_addresses_makes_the_table_larger() -> None:
    table = buckets(Clock(), most=50)
    for number in range(5000):
        table.take(f"address-{number}")
        table.charge(f"other-{number}", 3)
    assert len(table) == 50


def test_an_address_pushed_out_by_others_comes_back_without_its_burst() -> None:
    table = buckets(Clock(), most=50)
    taken(table, "victim", 10)
    for number in range(50):
        table.take(f"address-{number}")
    assert taken(table, "victim", 10) == 1


def test_a_newcomer_gets_a_burst_where_the_one_that_goes_had_its_own_back() -> None:
    clock = Clock()
    table = buckets(clock, most=2)
    table.take("one")
    table.take("two")
    clock.now += 60
    assert taken(table, "three", 10) == 4


def test_one_that_goes_on_asking_is_not_pushed_out() -> None:
    clock = Clock()
    table = buckets(clock, per_second=0.001, most=50)
    taken(table, "one", 4)
    for number in range(500):
        table.take(f"address-{number}")
        assert table.take("one") > 0
