"""How fast answers are graded, and how often rightly, beside math-verify alone.

    python benchmarks/rewards.py [--answers 20000] [--repeats 5] [--quick]

The speed is that of one core, from the text of a completion to its score: completions of some 1,000
characters that end with a number in one of many spellings, eight for each gold answer as in a group. The
verdicts are those on the answer pairs of public test suites that follow no convention of one suite alone, in
golden/math_equivalence.jsonl under DAPO_SHARED; without it this part is left out. math-verify is given what
it needs: answers without a dollar sign or box are put between dollar signs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from _harness import Row, report

from dapo.rewards import math as math_reward
from dapo.rewards import math_dapo, number
from dapo.types import Completion, Example

Verdict = Callable[[str, str], bool]
Reward = math_reward.Reward | math_dapo.Reward | number.Reward

FILLER = "We set $x + 3 = 7$ and see that the next value follows from the one before. " * 12
SPELLINGS: Sequence[Callable[[int], str]] = (
    str,
    lambda n: f"{n:,}",
    lambda n: f"{n}.0",
    lambda n: f"\\frac{{{2 * n}}}{{2}}",
    lambda n: f"\\${n}",
    lambda n: f"x = {n}",
    lambda n: f"{n} \\text{{ cm}}",
    lambda n: f"{n}^\\circ",
)
ENDINGS = ("Thus it is $\\boxed{{{}}}$.", "\n\nAnswer: {}")
GROUP = len(SPELLINGS)


def completion(text: str) -> Completion:
    return Completion([], [], [], [], "eos", text)


def workload(answers: int) -> list[tuple[Completion, Example]]:
    """Groups of completions with the same number in every spelling; in one of three groups it is wrong."""
    draw = random.Random(0)
    pairs = []
    for group in range(answers // GROUP):
        value = draw.randint(-999, 99_999)
        gold = Example(str(group), [], str(value if group % 3 else value + 1))
        texts = [FILLER + draw.choice(ENDINGS).format(spell(value)) for spell in SPELLINGS]
        pairs += [(completion(text), gold) for text in texts]
    return pairs


def answers_per_second(reward: Reward, pairs: Sequence[tuple[Completion, Example]], repeats: int) -> float:
    """The median of several, in seconds of this process on its core."""
    rates = []
    for _ in range(repeats):
        started = time.process_time()
        for given, example in pairs:
            reward(given, example)
        rates.append(len(pairs) / (time.process_time() - started))
    return statistics.median(rates)


def ours(text: str, gold: str) -> bool:
    return math_reward.Reward()(completion(text), Example("pair", [], gold)).score == 1


def math_verify_alone(text: str, gold: str) -> bool:
    from math_verify import parse, verify

    def between_dollars(answer: str) -> str:
        marked = any(mark in answer for mark in ("$", "boxed", "\\(", "\\["))
        return answer if marked else f"${answer}$"

    return bool(verify(parse(between_dollars(gold)), parse(between_dollars(text))))


def confusion(name: str, verdict: Verdict, pairs: Sequence[dict[str, str]], aims: bool) -> list[Row]:
    """Right verdicts, equal pairs that were missed, different pairs that were accepted, time of a pair."""
    started = time.process_time()
    found = [(verdict(pair["pred"], pair["gold"]), bool(pair["equivalent"])) for pair in pairs]
    seconds = time.process_time() - started
    equal = sum(label for _, label in found)
    missed = sum(label and not accepted for accepted, label in found)
    wrong = sum(accepted and not label for accepted, label in found)
    right = len(found) - missed - wrong
    target = (">= 462", right >= 462) if aims else ("", None)
    bound = ("<= 2", wrong <= 2) if aims else ("", None)
    return [
        Row(f"{name}: right verdicts", right, f"of {len(found)}", "", None, *target),
        Row(f"{name}: equal, and missed", missed, f"of {equal}"),
        Row(f"{name}: different, and accepted", wrong, f"of {len(found) - equal}", "", None, *bound),
        Row(f"{name}: time of a pair", 1000 * seconds / len(found), "ms"),
    ]


def verdicts(quick: bool) -> list[Row]:
    shared = os.environ.get("DAPO_SHARED")
    if shared is None:
        print("DAPO_SHARED is not set: no verdicts on the pairs of public test suites")
        return []
    lines = Path(shared, "golden", "math_equivalence.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [pair for pair in map(json.loads, lines) if not pair["policy"]]
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    if quick:
        pairs = pairs[::10]
    return [
        *confusion("math", ours, pairs, aims=not quick),
        *confusion("math-verify alone", math_verify_alone, pairs, aims=False),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few answers and pairs; writes no results")
    given = parser.parse_args()
    pairs = workload(1_000 if given.quick else given.answers)
    rewards: dict[str, Reward] = {
        "math": math_reward.Reward(),
        "number": number.Reward(),
        "math_dapo": math_dapo.Reward(),
    }
    rows = []
    for name, reward in rewards.items():
        rate = answers_per_second(reward, pairs, given.repeats)
        target = (">= 10,000", rate >= 10_000) if name == "math" else ("", None)
        rows.append(Row(f"{name}: answers a second and core", rate, "1/s", "", None, *target))
    rows += verdicts(given.quick)
    report("rewards", rows, vars(given) | {"math-verify": version("math-verify")}, quick=given.quick)


if __name__ == "__main__":
    main()
