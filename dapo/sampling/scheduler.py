"""Dynamic sampling (DAPO, arXiv 2503.14476, Eq. 11): which groups are admitted, accepted and carried.

The sampler is fed as many prompts as the step is expected to need, by the share of groups that carried
a signal so far; a rejected group is replaced at once. Groups are accepted in the order of their
admission, whatever the order they end in, so that short completions gain nothing by being early. What
the sampler has begun when a step is full waits for the next one, with the log-probabilities it was
sampled under.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from dapo.generation import Generation
from dapo.run.state import part
from dapo.sampling.carried import pack, pack_prompt, unpack, unpack_prompt
from dapo.sampling.copies import copies_to, next_multiple
from dapo.sampling.entry import Entry
from dapo.sampling.ledger import Ledger
from dapo.sampling.prompts import PromptQueue, Stream
from dapo.sampling.sampled import Sampled
from dapo.sampling.settings import Policy, SamplingSettings
from dapo.sampling.taking import split, take_short, with_stale
from dapo.sampling.verdicts import Filter, Grading
from dapo.types import Admission, GradedGroup, Group, Prompt

_MEMORY = 0.75
"""What a step's evidence on the share of accepted groups is still worth in the next step."""
_SMALLEST_YIELD = 0.02
_SMALL = 8
"""A mini-batch is small where so many of them make a step."""


Generate = Callable[[Iterator[Admission | None]], Generation]


class DynamicSampler:
    """Fills step after step. What it holds between two steps is saved with the run."""

    def __init__(
        self,
        *,
        stream: Stream,
        grading: Grading,
        settings: SamplingSettings,
        policy: Policy,
        prompts_per_step: int,
        group_size: int,
        groups_per_update: int,
        seed: int,
    ) -> None:
        self.grading, self.settings, self.policy = grading, settings, policy
        self.prompts_per_step, self.groups_per_update = prompts_per_step, groups_per_update
        self.ledger = Ledger(settings.ledger)
        self.prompts = PromptQueue(stream, self.ledger, group_size, seed, settings.longest_first)
        self.entries: list[Entry] = []
        """Outstanding groups in the order of admission: accepted ones that wait, and those in flight."""
        self.decided = 0.0
        self.accepted = 0.0
        """Groups judged and accepted, older steps counting less: how many prompts a step will need."""
        self._filter = Filter(settings.filter_on, settings.tolerance)
        self._step, self._result = 0, Sampled()

    def collect(
        self,
        generate: Generate,
        step: int,
        version: int,
        progress: Callable[[int, int, int], None] = lambda accepted, wanted, generated: None,
        check: Callable[[], None] = lambda: None,
    ) -> Sampled:
        """Sample with the policy of `version` until the step is full, or its limit is reached.

        `check` is called at every tick and may raise; what the step had sampled is lost then, and the
        state has to be restored to that of the last boundary.
        """
        result = self._begin(step, version)
        skipped = self.prompts.skipped
        generation = generate(self._admissions())
        try:
            while not self._full():
                check()
                ended = generation.step()
                self.grading.submit(ended, generation.tick)
                self._judge(self.grading.due(generation.tick if generation.in_flight else None, check))
                progress(
                    sum(e.kept for e in self.entries),
                    self.prompts_per_step,
                    result.account.groups["generated"],
                )
                if not ended and not generation.in_flight:
                    break
            self._hand_back(generation.stop())
            self._judge(self.grading.due(None, check))
        finally:
            self.grading.drop()
        result.ticks, result.slots = generation.tick, generation.slots
        result.skipped = self.prompts.skipped - skipped
        result.account.add("generated", 0, generation.drawn)
        self._close(version)
        return result

    def _begin(self, step: int, version: int) -> Sampled:
        self._step, self._result = step, Sampled(wanted=self.prompts_per_step)
        self.decided *= _MEMORY
        self.accepted *= _MEMORY
        account = self._result.account
        account.add("carried_in", *self._carried())
        for entry in self.entries:
            group = entry.in_flight
            if group is not None and group.policy_versions[0] < version - self.settings.max_staleness:
                account.add("aborted", 0, group.tokens)
                entry.in_flight = None
        return self._result

    def _admissions(self) -> Iterator[Admission | None]:
        """What was in flight at the boundary, in order; then prompts, as many as are needed."""
        for entry in [entry for entry in self.entries if entry.graded is None]:
            group, entry.in_flight = entry.in_flight, None
            yield entry.prompt if group is None else group
        while True:
            yield self._admit() if self._wants_more() else None

    def _wants_more(self) -> bool:
        settings, wanted = self.settings, self._goal()
        limit = 0 if settings.on_shortage == "keep_sampling" else settings.max_rounds * self.prompts_per_step
        if limit and self._result.account.groups["generated"] >= limit:
            return False
        undecided = self._undecided()
        decided = len(self.entries) - undecided
        share = self._expected_share()
        if settings.max_staleness == 0 and decided < self.prompts_per_step and self._may_overshoot:
            return decided + undecided * share < wanted
        room = decided + _at_most(undecided + 1, share) <= wanted * (1 + settings.max_staleness)
        return room and undecided < math.ceil(wanted / share)

    def _undecided(self) -> int:
        return sum(entry.graded is None for entry in self.entries)

    @property
    def _may_overshoot(self) -> bool:
        """Whether a step that may carry nothing admits as many prompts as it expects to need.

        Where more are accepted it trains on more, and samples on to whole mini-batches. That is cheap where
        these are small; where one is half a step, it would cost more than the waiting it saves, and no more
        are admitted than can hardly be too many.
        """
        return self.groups_per_update * _SMALL <= self.prompts_per_step

    def _expected_share(self) -> float:
        """Share of the groups in flight that will count for the step."""
        if self.policy != "refill":
            return 1.0
        return max((self.accepted + 1) / (self.decided + 1), _SMALLEST_YIELD)

    def _admit(self) -> Prompt:
        prompt = self.prompts.pull(
            self._step, lambda: math.ceil(self.prompts_per_step / self._expected_share())
        )
        self.entries.append(Entry(prompt))
        self._result.account.add("generated", 1, 0)
        return prompt

    def _judge(self, groups: list[GradedGroup]) -> None:
        if not groups:
            return
        by_number = {entry.prompt.number: entry for entry in self.entries}
        for group in groups:
            group.verdict = self._filter(group)
            group.kept = self.policy == "off" or group.verdict == "signal"
            by_number[group.prompt.number].graded = group
            self._remember(group)
            if not group.kept:
                self._result.rejected.append(group)
                self._result.account.add(group.verdict, 1, group.tokens)
        if self.policy == "refill":
            self.entries = [entry for entry in self.entries if entry.graded is None or entry.kept]

    def _remember(self, group: GradedGroup) -> None:
        self._result.finished.append(group)
        self.decided += 1
        self.accepted += group.kept
        mean_tokens = group.tokens / len(group.rollouts)
        signal = group.verdict == "signal"
        self.ledger.record(group.prompt.example.id, group.scores, signal, self._step, mean_tokens)

    def _ready(self) -> list[Entry]:
        """The decided entries before the first that is not: those that may be trained."""
        first = next((i for i, entry in enumerate(self.entries) if entry.graded is None), len(self.entries))
        return self.entries[:first]

    def _goal(self) -> int:
        """Entries that fill the step: more where `complete` found no signal in them, or where more were
        accepted and none may wait."""
        wanted = self.prompts_per_step
        ready = self._ready()
        if self.settings.max_staleness == 0:
            decided = len(self.entries) - self._undecided()
            if decided > wanted:
                wanted = next_multiple(decided, self.groups_per_update)
        if self.policy != "complete" or len(ready) < wanted or any(entry.kept for entry in ready):
            return wanted
        return next_multiple(len(ready) + 1, wanted)

    def _full(self) -> bool:
        drained = self.settings.max_staleness > 0 or not self._undecided()
        return drained and len(self._ready()) >= self._goal()

    def _hand_back(self, groups: list[Group]) -> None:
        by_number = {entry.prompt.number: entry for entry in self.entries}
        for group in groups:
            by_number[group.prompt.number].in_flight = group

    def _close(self, version: int) -> None:
        """Take what the step trains on, and leave the rest for the next one."""
        result, ready, goal = self._result, self._ready(), self._goal()
        result.limited = len(ready) < goal
        if result.limited:
            taken = take_short(ready, self.settings, self.groups_per_update)
            result.ends_run = self.settings.on_shortage == "stop"
        else:
            taken = ready[:goal]
        oldest = version + 1 - self.settings.max_staleness
        taken = with_stale(taken, self.entries, oldest, self.groups_per_update)
        _, self.entries = split(self.entries, taken)
        result.trained = [entry.graded for entry in taken if entry.graded is not None and entry.kept]
        result.copies = self._copies(result.trained, result.limited)
        account = result.account
        account.add("trained", len(result.trained), sum(group.tokens for group in result.trained))
        account.add("carried_out", *self._carried())
        account.check()

    def _copies(self, trained: list[GradedGroup], limited: bool) -> list[int]:
        fills = self.policy == "complete" or (limited and self.settings.on_shortage == "complete")
        if not fills or not trained:
            return []
        return copies_to(trained, next_multiple(len(trained), self.groups_per_update), self.settings.copies)

    def _carried(self) -> tuple[int, int]:
        """Groups and tokens that wait; rejected ones that still count for `complete` are accounted for."""
        waiting = [entry for entry in self.entries if entry.graded is None or entry.kept]
        return len(waiting), sum(entry.tokens for entry in waiting)

    def metrics(self, step: int) -> dict[str, float]:
        """What the ledger knows and did, where it may skip prompts."""
        if not self.settings.ledger.enabled:
            return {}
        return self.ledger.metrics(self.prompts.group_size, step) | self.ledger.take_step_metrics()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on, at a boundary between steps."""
        carried, entries = pack(self.entries)
        seen, ledger = self.ledger.state_dict()
        tensors = {f"carried/{name}": value for name, value in carried.items()}
        tensors |= {f"ledger/{name}": value for name, value in seen.items()}
        return tensors, {
            "entries": entries,
            "ledger": ledger,
            "window": [pack_prompt(prompt) for prompt in self.prompts.window],
            "admitted": self.prompts.admitted,
            "skipped": self.prompts.skipped,
            "decided": self.decided,
            "accepted": self.accepted,
        }

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        find = self.prompts.find
        self.entries = unpack(part("carried/", tensors), values["entries"], find)
        self.ledger.load_state_dict(part("ledger/", tensors), values["ledger"])
        self.prompts.window = [unpack_prompt(prompt, find) for prompt in values["window"]]
        self.prompts.admitted, self.prompts.skipped = values["admitted"], values["skipped"]
        self.decided, self.accepted = values["decided"], values["accepted"]


def _at_most(count: int, share: float) -> float:
    """How many of `count` groups will be accepted, three standard deviations above the expected."""
    return min(count, count * share + 3 * math.sqrt(count * share * (1 - share)))
