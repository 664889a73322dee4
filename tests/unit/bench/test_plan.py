"""The order of the targets in each round, and the options."""

import pytest

from runtime.bench import __main__ as command
from runtime.bench.plan import order, targets


def test_int8_adds_a_limit_and_a_server_but_no_second_baseline() -> None:
    names = [f"{target.name} {target.precision}" for target in targets(("FP32", "INT8"))]
    assert names == ["limit FP32", "server FP32", "limit INT8", "server INT8", "baseline FP32"]


def test_every_round_measures_every_target_once() -> None:
    all_targets = targets(("FP32", "INT8"))
    for number in range(7):
        assert sorted(order(all_targets, number)) == sorted(all_targets)


def test_no_target_always_follows_the_same_target() -> None:
    all_targets = targets(("FP32",))
    rounds = [order(all_targets, number) for number in range(7)]
    predecessors = {
        target: {turn[turn.index(target) - 1] for turn in rounds if turn[0] != target} for target in all_targets
    }
    assert all(len(others) == 2 for others in predecessors.values())


def test_the_default_comparison_has_seven_rounds() -> None:
    options = command._options(command._parser().parse_args([]))
    assert options.rounds >= 7
    assert options.clients == (1, 8, 50, 200)
    assert options.form


def test_options_override_those_of_a_quick_run() -> None:
    arguments = [
        "--quick",
        "--seconds",
        "1",
        "--clients",
        "8,1",
        "--precision",
        "fp32",
        "--body",
        "raw",
        "--cpus",
        "1,0",
    ]
    options = command._options(command._parser().parse_args(arguments))
    assert (options.seconds, options.clients, options.rounds) == (1.0, (1, 8), 2)
    assert (options.precisions, options.form, options.cpus) == (("FP32",), False, (0, 1))


@pytest.mark.parametrize(
    "arguments", [["--precision", "FP16"], ["--clients", "eight"], ["--rounds", "0"], ["--seconds", "-1"]]
)
def test_an_invalid_option_is_rejected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        command._parser().parse_args(arguments)
    assert raised.value.code == 2
    assert arguments[0] in capsys.readouterr().err
