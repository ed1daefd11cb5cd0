"""Tries a reward on what it will meet: golds, the same written otherwise, wrong answers, and attacks."""

from __future__ import annotations

import contextlib
import random
import secrets
import shutil
import string
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dapo.data.progress import Progress, silent
from dapo.grading.composition import RIGHT
from dapo.grading.grader import Grader
from dapo.grading.probes.adversarial import adversarial
from dapo.grading.probes.case import Case, Kind, Probe, other_than
from dapo.grading.probes.golds import Golds
from dapo.grading.probes.rewritten import FAMILIES, gold
from dapo.grading.probes.wrong import wrong
from dapo.types import Completion, Example, Score

GOLD = Kind("gold", "right", gold)
KINDS = (
    GOLD,
    *(Kind(name, "open", probes) for name, probes in FAMILIES.items()),
    Kind("wrong", "wrong", wrong),
    Kind("adversarial", "wrong", adversarial, most=50),
)
"""In the order of the report."""

_EACH_TOKEN = 4
"""Characters of a token, about: a reward that reads lengths gets that many ids, all of them 0."""
_SHOWN = 300
"""Characters of a completion that a finding holds at most, the last ones for most."""


@dataclass(frozen=True)
class Finding:
    """A verdict to look at."""

    probe: str
    id: str
    gold: str
    """The answer of the example."""
    text: str
    """The completion, of a long one its two ends."""
    score: float
    extracted: str | None
    """The answer the reward found."""
    error: str | None


@dataclass
class Result:
    """What a reward made of the probes of one kind."""

    kind: Kind
    answers: int = 0
    accepted: int = 0
    errors: int = 0
    timeouts: int = 0
    slowest: float = 0.0
    """Seconds."""
    by_name: dict[str, tuple[int, int]] = field(default_factory=dict)
    """How many answers, and how many accepted, by the name of the probe."""
    findings: list[Finding] = field(default_factory=list)
    """Wrong answers that were accepted, others that were not."""
    left_out: int = 0
    """Examples there was no time for."""

    @property
    def share(self) -> float:
        """Of the answers that were accepted. NaN without answers."""
        return self.accepted / self.answers if self.answers else float("nan")

    def add(self, probe: Probe, example: Example, score: Score) -> None:
        accepted = score.score >= RIGHT
        count, before = self.by_name.get(probe.name, (0, 0))
        self.by_name[probe.name] = (count + 1, before + accepted)
        self.answers += 1
        self.accepted += accepted
        if accepted == (self.kind.wanted == "wrong"):
            text, answer = shortened(probe.text), shortened(example.answer)
            found = None if score.answer is None else shortened(score.answer)
            self.findings.append(
                Finding(probe.name, example.id, answer, text, score.score, found, score.error)
            )


@dataclass
class CheckReport:
    """All that was found of one task and its reward."""

    task: str
    reward: str
    """Its name."""
    examples: int = 0
    without_gold: int = 0
    """Examples whose gold completion is not known."""
    made_up: bool = False
    """Whether the task has no gold completions, and they were made up."""
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    """What all of it took."""
    workers: int = 0
    """Processes that graded; 0: in this one."""
    executed: list[str] = field(default_factory=list)
    """Files that code in an answer has written."""
    notes: list[str] = field(default_factory=list)

    @property
    def golds(self) -> Result:
        return next(result for result in self.results if result.kind is GOLD)

    @property
    def answers_per_second(self) -> float:
        return sum(result.answers for result in self.results) / max(self.seconds, 1e-9)

    def passed(self, least: float) -> bool:
        """Whether at least this share of the golds is right, and no code was executed."""
        return not self.executed and not self.golds.share < least


def sample(examples: Iterable[Example], count: int) -> list[Example]:
    """So many examples, each as likely as any other, and always the same ones (Algorithm R)."""
    source, chosen = random.Random(0), []
    for number, example in enumerate(examples):
        if number < count:
            chosen.append(example)
        elif (place := source.randint(0, number)) < count:
            chosen[place] = example
    return chosen


def check_reward(
    report: CheckReport,
    task: object,
    examples: Sequence[Example],
    grader: Grader,
    seconds: float = 300.0,
    progress: Progress = silent,
) -> CheckReport:
    """Fill a report in.

    Args:
        task: writes the gold completions, if it can.
        seconds: what all may take, about. A kind of probe that has had its share leaves the other examples
            out, and says how many.

    Raises UserError for what would strike every completion, such as numbers outside a score's range.
    """
    writer = Golds(task)
    report.made_up = writer.made_up
    started = time.monotonic()
    grader.take_tally()
    with _trap() as trap:
        cases = _cases(examples, writer, trap)
        report.examples, report.without_gold = len(examples), len(examples) - len(cases)
        for done, kind in enumerate(KINDS):
            deadline = started + seconds * (done + 1) / len(KINDS)
            report.results.append(_try(kind, cases[: kind.most], grader, deadline, progress))
        report.executed = sorted(path.name for path in trap.iterdir())
    report.seconds = time.monotonic() - started
    return report


@contextlib.contextmanager
def _trap() -> Iterator[Path]:
    """An empty folder. Its name holds no digit, which a reward might take for an answer."""
    name = "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))
    folder = Path(tempfile.gettempdir(), f"dapo-check-{name}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cases(examples: Sequence[Example], writer: Golds, trap: Path) -> list[Case]:
    cases = []
    for place, example in enumerate(examples):
        text = writer.text(example)
        if text is not None:
            others = [*examples[place + 1 : place + 60], *examples[:place][:60]]
            cases.append(Case(example, text, writer, other_than(example, others, writer), trap))
    return cases


def _try(kind: Kind, cases: Sequence[Case], grader: Grader, deadline: float, progress: Progress) -> Result:
    """Grade the probes of a kind, several examples at once where several processes grade."""
    result = Result(kind)

    def grade(case: Case) -> list[tuple[Probe, Score]] | None:
        if time.monotonic() > deadline and case is not cases[0]:
            return None
        probes = list(kind.probes(case))
        completions = [completion_of(probe.text) for probe in probes]
        return list(zip(probes, _grade(grader, completions, case.example), strict=True))

    threads = ThreadPoolExecutor(grader.threads)
    try:
        for done, (case, graded) in enumerate(zip(cases, threads.map(grade, cases), strict=True)):
            progress(f"{kind.name} answers", done, len(cases))
            if graded is None:
                result.left_out += 1
            for probe, score in graded or ():
                result.add(probe, case.example, score)
    finally:
        threads.shutdown(cancel_futures=True)  # Ctrl-C and errors wait for no more than what is under way.
    tally = grader.take_tally()
    result.errors, result.timeouts = tally.errors, tally.timeouts
    result.slowest = max(tally.seconds, default=0.0)
    return result


def _grade(grader: Grader, completions: Sequence[Completion], example: Example) -> list[Score]:
    """Each for itself where a reward compares: golds beside attacks are no group of a policy."""
    if grader.compares:
        return [score for completion in completions for score in grader.grade([completion], example)]
    return grader.grade(completions, example) if completions else []


def completion_of(text: str) -> Completion:
    """A completion that ended by itself, with stand-ins for its tokens."""
    count = max(1, len(text) // _EACH_TOKEN)
    return Completion([0] * count, [0.0] * count, [0] * count, [True] * count, "eos", text)


def shortened(text: str, longest: int = _SHOWN) -> str:
    """The text, of a long one its two ends."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
