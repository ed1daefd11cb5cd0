"""The loop: Algorithm 1 of DAPO (arXiv 2503.14476), top to bottom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dapo.algorithms import Algorithm
from dapo.backends.base import Backend
from dapo.budget import Budget
from dapo.data.stream import PromptStream
from dapo.grading.grader import Grader, SourceGrader
from dapo.learning import agreement
from dapo.learning import samples as rows
from dapo.sampling.account import Account
from dapo.sampling.sampled import Sampled
from dapo.sampling.scheduler import DynamicSampler
from dapo.sampling.settings import SamplingSettings
from dapo.sampling.verdicts import Grading
from dapo.step_metrics import step_metrics
from dapo.types import GradedGroup, Group, Sample, SamplingParams


@dataclass(frozen=True)
class StepSizes:
    """The sizes of a step, in groups and completions."""

    prompts_per_step: int
    group_size: int
    updates_per_step: int = 1

    def __post_init__(self) -> None:
        if self.prompts_per_step < 1 or self.updates_per_step < 1:
            raise ValueError("prompts_per_step and updates_per_step must be at least 1")
        if self.group_size < 2:
            raise ValueError(
                "group_size must be at least 2: the advantage compares the completions of one prompt"
            )
        if self.prompts_per_step % self.updates_per_step:
            raise ValueError(
                f"prompts_per_step ({self.prompts_per_step}) must be a multiple of updates_per_step "
                f"({self.updates_per_step}): a mini-batch is a whole number of groups"
            )

    @property
    def groups_per_update(self) -> int:
        """Groups per optimizer update: the mini-batch."""
        return self.prompts_per_step // self.updates_per_step

    @property
    def mini_batch(self) -> int:
        """Completions per optimizer update."""
        return self.groups_per_update * self.group_size


@dataclass
class Step:
    """What one step did, for logging: nothing in the loop reads it again."""

    number: int
    sampled: Sampled
    samples: list[Sample]
    """Those of `sampled.trained`, group by group; then copies."""
    metrics: dict[str, float]


class Trainer:
    """Runs steps, and holds what has to survive a restart besides the model."""

    def __init__(
        self,
        *,
        backend: Backend,
        stream: PromptStream,
        grader: Grader | SourceGrader,
        algorithm: Algorithm,
        max_completion_tokens: int,
        sizes: StepSizes,
        sampling: SamplingSettings,
        params: SamplingParams,
        budget: Budget,
        on_phase: Callable[[str], None] = lambda phase: None,
        on_group: Callable[[int, int, int], None] = lambda accepted, wanted, generated: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`max_completion_tokens` is the limit that the algorithm's lengths stand for. `on_phase` hears what
        the step is doing, `on_group` how far its sampling has come. `check` is called at every tick of the
        sampler, and raises where the run is to stop."""
        self.backend, self.stream, self.grader = backend, stream, grader
        self.max_completion_tokens = max_completion_tokens
        self.algorithm, self.sizes, self.params, self.budget = algorithm, sizes, params, budget
        self.sampler = DynamicSampler(
            stream=stream,
            grading=Grading(self._grade, sampling.verdict_delay, grader.threads),
            settings=sampling,
            policy=sampling.policy or algorithm.sampling_policy,
            prompts_per_step=sizes.prompts_per_step,
            group_size=sizes.group_size,
            groups_per_update=sizes.groups_per_update,
            seed=params.seed,
        )
        self.on_phase, self.on_group, self.check = on_phase, on_group, check
        self.step = 0
        self.account = Account()
        """Every group and token generated over the run, by what became of it."""
        self.seconds: dict[str, float] = {}
        self._clock = threading.Lock()

    def train_step(self) -> Step:
        """Sample from the old policy until enough groups carry a signal, then update the policy on them."""
        self.seconds = {"grade": 0.0}
        version = self.backend.policy_version
        with self._phase("sample"):
            sampled = self._collect(version)  # dynamic sampling, Eq. 11
        groups = sampled.trained
        samples = rows.to_samples(groups, self.algorithm)
        with self._phase("annotate"):
            self.backend.annotate(
                samples,
                reference=self.algorithm.kl is not None,
                entropies=self.algorithm.entropy_mask is not None,
            )
        exact_version = version if self.backend.exact_sampler else None
        agreement.check(samples, exact_version)  # the sampler speaks with the learner's policy
        rows.set_advantages(groups, samples, self.algorithm)  # Eq. 9
        rows.set_weights(samples, self.algorithm, exact_version)
        samples += rows.copies_of(samples, sampled.copies, self.sizes.group_size)
        with self._phase("update"):
            updates = self._update(samples)  # Eq. 8
            self.backend.sync()  # the sampler speaks with the new policy
        self.step += 1
        self.account.merge(sampled.account)
        metrics = step_metrics(sampled, samples, updates, self.seconds, version)
        metrics |= self.grader.take_tally().metrics() | self.sampler.metrics(self.step)
        return Step(self.step, sampled, samples, metrics)

    def _collect(self, version: int) -> Sampled:
        return self.sampler.collect(
            lambda work: self.backend.generate(work, self.params),
            step=self.step,
            version=version,
            progress=self.on_group,
            check=self.check,
        )

    def _grade(self, group: Group) -> GradedGroup:
        """score: the verdict; reward: what the advantage sees."""
        started = time.perf_counter()
        scores = self.grader.grade(group.completions, group.prompt.example)
        graded = rows.with_rewards(group, scores, self.algorithm, self.max_completion_tokens)
        with self._clock:
            self.seconds["grade"] += time.perf_counter() - started
        return graded

    def _update(self, samples: list[Sample]) -> list[dict[str, float]]:
        """One update per mini-batch. Only what is left of a step that fell short makes a smaller one."""
        size = self.sizes.mini_batch
        mini_batches = [samples[start : start + size] for start in range(0, len(samples), size)]
        return [
            self.backend.update(
                mini_batch,
                rows.totals_of(mini_batch),
                self.algorithm,
                self.budget.progress(self.step + done / len(mini_batches), self.account.tokens["generated"]),
            )
            for done, mini_batch in enumerate(mini_batches)
        ]

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.on_phase(name)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def known_prompts(self) -> Iterator[dict[str, Any]]:
        """What sampling has learnt about each prompt: attempts, pass rate, probability of a signal."""
        return self.sampler.ledger.table(self.sizes.group_size, self.step)

    def close(self) -> None:
        """Give back the threads that grade."""
        self.sampler.grading.close()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a restart needs besides the backend's own state."""
        tensors, sampler = self.sampler.state()
        return tensors, {
            "step": self.step,
            "stream": self.stream.state_dict(),
            "sampler": sampler,
            "account": self.account.state(),
        }

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.step = values["step"]
        self.stream.load_state_dict(values["stream"])
        self.sampler.load_state(tensors, values["sampler"])
        self.account = Account.from_state(values["account"])
