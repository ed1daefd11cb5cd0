"""The linter's numbers, against groups that are graded, shaped, filtered and given advantages for real."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dapo.algorithms import PRESETS, Algorithm
from dapo.core.advantages import Advantage, BatchScaled, GroupCentered, LeaveOneOut
from dapo.core.shaping import SoftOverlong
from dapo.core.signal import TOLERANCE
from dapo.grading.adapt import as_reward
from dapo.grading.composition import Shaping, composed
from dapo.grading.grader import Grader
from dapo.grading.linter import EqualVerdicts, ShapingReport, lint_shaping
from dapo.learning import samples as rows
from dapo.recipe.config import load_recipe
from dapo.recipe.describe import describe
from dapo.recipe.lint import shaping_notes, shaping_report
from dapo.sampling.verdicts import Filter
from dapo.types import Completion, Example, GradedGroup, Group, Prompt

EXAMPLE = Example("x", [], "")
LIMIT = 100

NORMALIZED, CENTERED = PRESETS["grpo"], PRESETS["dr_grpo"]


def verdict(completion: Completion, example: Example) -> bool:
    return completion.text.startswith("right")


def shape(completion: Completion, example: Example) -> float:
    """1 for a text that ends in `good`, 0 for one that ends in `bad`."""
    return float(completion.text.endswith("good"))


def term(weight: float = 0.5, **settings: Any) -> Shaping:
    return Shaping(reward=as_reward(shape), **{"name": "shape", "weight": weight, **settings})


def lint(*terms: Shaping, algorithm: Algorithm = NORMALIZED, **settings: Any) -> ShapingReport:
    given = {"group_size": 4, "max_completion_tokens": LIMIT, "policy": "refill", **settings}
    return lint_shaping(terms, algorithm, **given)


def group(texts: list[str], terms: list[Shaping], algorithm: Algorithm, size: int = 4) -> GradedGroup:
    """The first text among others like the second. A `!` makes a completion as long as it may be."""
    given = [texts[0], *[texts[1]] * (size - 1)]
    completions = [
        Completion([0] * tokens, [0.0] * tokens, [0] * tokens, [True] * tokens, "eos", text.rstrip("!"))
        for text, tokens in ((text, LIMIT if text.endswith("!") else 1) for text in given)
    ]
    reward = as_reward(verdict) if not terms else composed(as_reward(verdict), terms)
    scores = Grader(reward).grade(completions, EXAMPLE)
    return rows.with_rewards(Group(Prompt(EXAMPLE, [1], LIMIT), completions), scores, algorithm, LIMIT)


def advantages(algorithm: Algorithm, *groups: GradedGroup) -> list[list[float]]:
    samples = rows.to_samples(groups, algorithm)
    rows.set_advantages(groups, samples, algorithm)
    found = iter(samples)
    return [[next(found).advantage for _ in one.rollouts] for one in groups]


ALGORITHMS = {
    "normalized": NORMALIZED,
    "centered": CENTERED,
    "leave one out": replace(NORMALIZED, advantage=LeaveOneOut()),
    "batch": replace(NORMALIZED, advantage=BatchScaled()),
    "overlong": PRESETS["dapo"].resolved(LIMIT),
    "overlong without a floor": replace(
        CENTERED, soft_overlong=SoftOverlong(max_tokens=50, cache_tokens=20, factor=0.25, floor=False)
    ),
}

SHAPINGS: dict[str, list[Shaping]] = {
    "none": [],
    "penalty": [term()],
    "bonus": [term(offset=0.0)],
    "around zero": [term(offset=0.5)],
    "correct": [term(gate="correct")],
    "wrong": [term(gate="wrong")],
    "several": [term(gate="correct"), term(0.25, name="other"), term(0.125, name="third", gate="wrong")],
}


@pytest.mark.parametrize("shaping", SHAPINGS)
@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("right", [True, False])
def test_bounds_and_advantages_are_those_of_a_real_group(name: str, shaping: str, right: bool) -> None:
    algorithm, terms = ALGORITHMS[name], SHAPINGS[shaping]
    report = lint(*terms, algorithm=algorithm)
    side = report.right if right else report.wrong
    word = "right" if right else "wrong"
    best, worst = f"{word} good", f"{word} bad!"
    real, turned = (group(texts, terms, algorithm) for texts in ([best, worst], [worst, best]))
    assert [one.reward for one in real.rollouts] == pytest.approx([side.high, *[side.low] * 3])
    contrast = group(["right good", "wrong bad"], [], replace(algorithm, soft_overlong=None))
    found = [advantages(algorithm, one, contrast) for one in (real, turned)]
    assert side.advantage == pytest.approx(max(abs(a) for one in found for a in one[0]))
    assert side.of_verdict == pytest.approx(max(abs(a) for one in found for a in one[1]))


def test_a_hair_of_shaping_weighs_as_much_as_a_verdict_where_the_std_divides() -> None:
    """One of four: 3/4 of the difference over half of it, so 1.5 whatever the difference is."""
    report = lint(term(0.001), policy="off")
    assert report.wrong.advantage == pytest.approx(1.5, abs=0.01)
    assert report.wrong.of_verdict == pytest.approx(1.5, abs=1e-5)
    # Without the division it stays what it is: 3/4 of 0.001, against 3/4 of 1.
    centered = lint(term(0.001), algorithm=CENTERED, policy="off").wrong
    assert (centered.advantage, centered.of_verdict) == pytest.approx((0.00075, 0.75))


@pytest.mark.parametrize(
    ("policy", "filter_on", "terms", "right", "wrong"),
    [
        ("refill", "score", [term()], False, False),
        ("complete", "score", [term()], False, False),
        ("refill", "reward", [term()], True, True),
        ("refill", "reward", [term(gate="correct")], True, False),
        ("refill", "reward", [term(gate="parsed")], True, True),
        ("refill", "shape", [term()], True, True),
        ("refill", "shape", [term(gate="wrong")], False, True),
        ("refill", "other", [term(), term(name="other", gate="wrong")], False, True),
        ("off", "score", [term()], True, True),
    ],
)
def test_which_groups_are_kept(
    policy: str, filter_on: str, terms: list[Shaping], right: bool, wrong: bool
) -> None:
    report = lint(*terms, policy=policy, filter_on=filter_on)
    assert (report.right.kept, report.wrong.kept) == (right, wrong)
    if policy == "off" or terms[0].gate == "parsed":
        return
    for word, kept in (("right", right), ("wrong", wrong)):
        real = group([f"{word} good", f"{word} bad"], terms, NORMALIZED)
        assert (Filter(filter_on, TOLERANCE)(real) == "signal") is kept


def test_a_part_that_the_verdict_brings_along_may_keep_any_group() -> None:
    assert lint(term(), filter_on="acc").wrong.kept


def test_wrong_can_beat_right() -> None:
    """Verdicts are 2 apart: a penalty of 2 and a bonus each bring a right answer down to a wrong one."""
    assert not lint(term(1.9)).outweighs and lint(term(2.0)).outweighs
    assert lint(term(2.0, offset=0.0)).outweighs
    assert not lint(term(5.0, gate="wrong")).outweighs and lint(term(5.0, gate="wrong", offset=0.0)).outweighs
    assert lint(term(1.0), algorithm=CENTERED).outweighs and not lint(term(0.9), algorithm=CENTERED).outweighs
    good, bad = (group([text, text], [term(2.5)], NORMALIZED) for text in ("wrong good", "right bad"))
    assert good.rollouts[0].reward > bad.rollouts[0].reward
    # Soft overlong alone leaves the paper's rewards in order, and not those that have no sign.
    dapo = PRESETS["dapo"].resolved(LIMIT)
    assert not lint(algorithm=dapo).outweighs
    assert lint(algorithm=replace(dapo, signed_rewards=False)).outweighs


def test_other_verdicts_may_be_declared() -> None:
    report = lint(term(1.0), verdicts=(-5.0, 5.0), algorithm=CENTERED)
    assert (report.right.low, report.right.high, report.wrong.low, report.wrong.high) == (4, 5, -6, -5)
    assert report.right.of_verdict == pytest.approx(7.5)


def test_the_notes_say_what_happens_and_what_to_do() -> None:
    assert lint(term()).notes() == [] and lint().notes() == []
    assert lint(policy="off").notes() == []
    [note] = lint(term(), filter_on="reward").notes()
    assert (
        "groups that are all right (rewards up to 0.5 apart) or all wrong (rewards up to 0.5 apart)" in note
    )
    assert "advantages of up to 1.5, where one differing verdict makes 1.5" in note
    assert "sampling.filter_on: reward keeps groups in which that differs" in note
    [note] = lint(term(gate="wrong"), policy="off").notes()
    assert "groups that are all wrong (rewards up to 0.5 apart) are trained on" in note
    assert "sampling.policy: off trains on every group" in note
    [note] = lint(term(3.0)).notes()
    assert "a wrong answer can get a reward of -1, a right one -2; lower the weights" in note
    assert lint(term(3.0)).lines()[0].startswith("right answers get rewards from -2 to 1;")
    assert len(lint(term(3.0)).lines()) == 4


# --- over a whole recipe

BASE: dict[str, Any] = {
    "name": "test",
    "model": {"path": "no/such-model", "template": "plain"},
    "data": {"train": "arithmetic"},
    "num_steps": 10,
    "prompts_per_step": 8,
    "group_size": 4,
    "max_completion_tokens": 100,
}


def composed_of(**entry: Any) -> dict[str, Any]:
    return {"score": "number", "shaping": [{"reward": "format", "weight": 0.5, **entry}]}


def test_a_recipe_is_read_with_its_algorithm_and_sampling() -> None:
    report = shaping_report(load_recipe(BASE, {"reward": composed_of(gate="correct")}))
    assert report is not None
    # DAPO's soft overlong takes off up to 1.
    assert (report.right.low, report.right.high, report.wrong.low, report.wrong.high) == (-0.5, 1, -2, -1)
    near = pytest.approx(1.5, abs=1e-4)
    assert report.wrong == EqualVerdicts(False, -2, -1, near, near, kept=False)
    assert shaping_notes(load_recipe(BASE, {"reward": composed_of()})) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampling.filter_on": "reward"}, ["shaping alone makes advantages"]),
        ({"sampling.policy": "off"}, ["shaping alone makes advantages"]),
        ({"algorithm": "grpo", "reward": composed_of()}, ["shaping alone makes advantages"]),
        ({"reward": composed_of(weight=1.5)}, ["shaping can outweigh the verdict"]),
        ({"reward": composed_of(gate="wrong", weight=9)}, []),
        ({"algorithm": "grpo"}, []),
        ({"algorithm": "grpo", "reward": "number", "sampling.filter_on": "reward"}, []),
    ],
)
def test_a_recipe_is_warned_of_what_it_does(changes: dict[str, Any], words: list[str]) -> None:
    recipe = load_recipe(BASE, changes)
    notes = shaping_notes(recipe)
    assert len(notes) == len(words) and all(word in note for word, note in zip(words, notes, strict=True))
    assert all(f"note: {note}" in describe(recipe) for note in notes)


def test_a_declared_range_is_the_distance_of_the_verdicts() -> None:
    spec = {**composed_of(weight=3), "score": {"name": f"{__name__}:own", "score_range": [-5, 5]}}
    report = shaping_report(load_recipe(BASE, {"algorithm": "grpo", "reward": spec}))
    assert report is not None and (report.right.high, report.wrong.high) == (5, -5) and not report.outweighs


def own(completion: Completion, example: Example) -> float:
    return 5.0


def test_advantages_of_ones_own_are_linted_too() -> None:
    class Doubled:
        name = "doubled"

        def __call__(self, rewards: Any, baseline: Any = None) -> Any:
            return [2 * advantages for advantages in GroupCentered()(rewards, baseline)]

    advantage: Advantage = Doubled()
    assert lint(term(), algorithm=replace(CENTERED, advantage=advantage)).right.advantage == pytest.approx(
        0.75
    )
