from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dapo.rewards.math import Reward
from dapo.types import Completion, Example, Score

SHARED = os.environ.get("DAPO_SHARED")


def judge(text: str, gold: str, reward: Reward | None = None) -> Score:
    completion = Completion([], [], [], [], "eos", text)
    return (reward or Reward())(completion, Example("row-7", [], gold))


@pytest.mark.parametrize(
    ("text", "gold", "score", "answer"),
    [
        ("Thus $\\boxed{\\frac{3}{6}}$.", "0.5", 1, "1/2"),
        ("<think>Is it \\boxed{3}?</think>\n**Answer:** $x = 1{,}080$ dollars", "1080", 1, "1080"),
        ("The final answer is $(2, \\infty)$. I hope it is correct.", "x > 2", 1, "(2, oo)"),
        ("2 + 2 = 4\n#### 4", "5\n#### 4", 1, "4"),
        ("so it must be $x^2 + x$ then", "x(x+1)", 1, "x^2+x"),
        ("\\boxed{4}", "5", 0, "4"),
        ("I do not know that", "5", 0, None),
        ("", "5", 0, None),
    ],
)
def test_verdicts(text: str, gold: str, score: float, answer: str | None) -> None:
    assert judge(text, gold) == Score(score=float(score), answer=answer)


def test_equal_answers_vote_with_one_text() -> None:
    texts = ["\\boxed{0.5}", "Answer: 1/2", "$\\dfrac12$", "it is x = \\boxed{\\frac{2}{4}}", "0.50"]
    assert {judge(text, "7").answer for text in texts} == {"1/2"}


def test_where_answers_are_looked_for_is_a_setting() -> None:
    text = "\\boxed{3}\nAnswer: 5"
    assert judge(text, "5", Reward(extract=["marked"])).score == 1
    assert judge(text, "3", Reward(extract=["boxed"])).score == 1
    assert judge("it is 5 now", "5", Reward(extract=["boxed", "marked"])) == Score(score=0.0)
    assert judge("\\boxed{5}" + 50 * " ", "5", Reward(window=20)).answer is None


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="extract takes at least one of boxed, marked, whole, value; not"):
        Reward(extract=["box"])
    with pytest.raises(ValueError, match="not nothing"):
        Reward(extract=[])
    with pytest.raises(ValueError, match="window must lie between 1 and 1000000"):
        Reward(window=0)


def test_an_empty_gold_answer_names_the_example() -> None:
    with pytest.raises(ValueError, match="the answer of example row-7 is empty; drop the row"):
        judge("5", " $$ ")


@pytest.mark.parametrize("place", ["{}", "\\boxed{{{}}}", "Answer: {}", "${}$"])
def test_code_is_never_run(place: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for code in (
        f"__import__('os').system('touch {marker}')",
        f"open('{marker}', 'w')",
        f"(lambda: open('{marker}', 'w'))()",
        f"[open('{marker}', 'w') for _ in [0]]",
        f"\\text{{open('{marker}', 'w')}}",
    ):
        judge(place.format(code), "x + 1")
        judge(place.format(code + " or 0"), "x^{2} + 1")
        judge("x + 1", code)
    assert not marker.exists()


PIECES = [
    *(
        "9",
        "9,",
        "1.",
        "1/",
        "1!",
        "%",
        "-",
        "٣",
        "½",
        "answer ",
        "answer is ",
        "答案",
        "a ",
        " or ",
        ";",
        " ",
        "\n",
    ),
    *(
        "\\boxed{",
        "\\boxed{1}, ",
        "\\frac{",
        "\\text{",
        "\\begin{pmatrix}",
        "\\cup ",
        "\\pm ",
        "sqrt(",
        "x_{",
    ),
    *(
        "{",
        "(",
        "$",
        "$$",
        "\\(",
        "\\[",
        "\\",
        "^",
        "^{",
        "9^",
        "!",
        "x=",
        "<",
        "**",
        "~",
        "\0",
        "\x0c",
        "</think>",
    ),
]


def test_long_and_hostile_completions_are_quick() -> None:
    started = time.process_time()
    for piece in PIECES:
        some, many = piece * 150, piece * 900
        for text in (piece * 100_000, f"\\boxed{{{many}}}", f"Answer: {many}", f"${some}$"):
            judge(text, "5")
            judge(text, "\\frac{x}{2}")
    assert time.process_time() - started < 20


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason="DAPO_SHARED is not set")
def test_pairs_of_public_test_suites() -> None:
    """Rows under no suite's own convention: at least 465 of 469 right, and no wrong answer accepted."""
    assert SHARED is not None
    lines = Path(SHARED, "golden", "math_equivalence.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if not row["policy"]]
    verdicts = [(judge(row["pred"], row["gold"]).score == 1, row["equivalent"]) for row in rows]
    assert len(verdicts) == 469
    assert sum(found == right for found, right in verdicts) >= 465
    assert sum(found and not right for found, right in verdicts) == 0
