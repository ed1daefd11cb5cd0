"""How fast answers are graded: in the process of the run, and in workers.

    python benchmarks/grading.py [--answers 20000] [--workers 1 2] [--quick]

The reward is one of the cheapest, `math_dapo` on completions of 200 tokens, so that what is measured is the
way there and back. The peer of the workers is the process of the run.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from _cheap_reward import cheap
from _harness import Row, report

from dapo.grading.grader import Grader
from dapo.grading.settings import GradingSettings
from dapo.grading.workers import Workers
from dapo.types import Completion, Example

TEXT = "so we find that\n" * 50 + "Answer: 4"
EXAMPLE = Example("sum", [{"role": "user", "content": "2+2?"}], "4")
GROUP = 16


def completions() -> list[Completion]:
    return [Completion([1] * 200, [-0.5] * 200, [0] * 200, [True] * 200, "eos", TEXT) for _ in range(GROUP)]


def rate(workers: int, answers: int) -> float:
    """Answers a second."""
    groups = [completions() for _ in range(answers // GROUP)]
    with Workers(GradingSettings(workers=workers)) as pool:
        grader = Grader(cheap, workers=pool)
        with ThreadPoolExecutor(grader.threads) as threads:
            list(threads.map(lambda group: grader.grade(group, EXAMPLE), groups[: 2 * max(1, workers)]))
            started = time.perf_counter()
            list(threads.map(lambda group: grader.grade(group, EXAMPLE), groups))
            seconds = time.perf_counter() - started
    return len(groups) * GROUP / seconds


def start_seconds() -> float:
    """Until a worker has started and loaded the reward."""
    started = time.perf_counter()
    with Workers(GradingSettings(workers=1)) as pool:
        Grader(cheap, workers=pool)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    answers = 1_000 if given.quick else given.answers
    here = rate(0, answers)
    rows = [Row("in the process of the run", here, "answers/s")]
    for count in given.workers:
        value = rate(count, answers)
        rows.append(Row(f"in {count} worker(s)", value, "answers/s", "in the process", value / here))
    rows.append(Row("start of a worker", start_seconds(), "s"))
    report("grading", rows, {"answers": answers, "group": GROUP}, quick=given.quick)


if __name__ == "__main__":
    main()
