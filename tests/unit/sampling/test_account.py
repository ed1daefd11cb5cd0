"""The account of a step, and of a run."""

from __future__ import annotations

import json

import pytest

from dapo.sampling.account import Account


def account(**groups: int) -> Account:
    made = Account()
    for name, count in groups.items():
        made.add(name, count, 10 * count)
    return made


FIRST = {"generated": 10, "trained": 4, "all_right": 2, "all_wrong": 1, "carried_out": 3}
SECOND = {"carried_in": 3, "generated": 5, "trained": 4, "all_wrong": 2, "carried_out": 2}


@pytest.mark.parametrize("groups", [FIRST, SECOND])
def test_a_balanced_account_passes_and_any_change_is_noticed(groups: dict[str, int]) -> None:
    account(**groups).check()
    for name in groups:
        wrong = account(**groups)
        wrong.groups[name] += 1
        with pytest.raises(AssertionError, match="groups"):
            wrong.check()
        wrong = account(**groups)
        wrong.tokens[name] -= 1
        with pytest.raises(AssertionError, match="tokens"):
            wrong.check()


def test_over_a_run_what_was_carried_counts_once() -> None:
    run = Account()
    for step in (FIRST, SECOND):
        run.merge(account(**step))
        run.check()
    assert run.groups == {
        "carried_in": 0,
        "generated": 15,
        "trained": 8,
        "all_right": 2,
        "all_wrong": 3,
        "carried_out": 2,
        "aborted": 0,
    }


def test_the_state_comes_back() -> None:
    made = account(**FIRST)
    restored = Account.from_state(json.loads(json.dumps(made.state())))
    assert restored == made
    restored.add("trained", 1, 1)
    assert restored != made


def test_every_count_is_a_metric() -> None:
    metrics = account(**SECOND).metrics()
    assert metrics["sampling/carried_in"] == 3
    assert metrics["sampling/carried_in_tokens"] == 30
    assert len(metrics) == 14
