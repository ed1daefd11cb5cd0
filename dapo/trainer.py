"""The loop: Algorithm 1 of DAPO (arXiv 2503.14476), top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dapo import samples as rows
from dapo.algorithms import Algorithm
from dapo.backends.base import Backend
from dapo.data.stream import PromptStream
from dapo.grading import Grader
from dapo.sampling import Account, Sampled, SamplingSettings, collect
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
    def mini_batch(self) -> int:
        """Completions per optimizer update."""
        return self.prompts_per_step // self.updates_per_step * self.group_size


@dataclass
class Step:
    """What one step did, for logging: nothing in the loop reads it again."""

    number: int
    sampled: Sampled
    samples: list[Sample]
    metrics: dict[str, float]


class Trainer:
    """Runs steps, and holds what has to survive a restart besides the model."""

    def __init__(
        self,
        *,
        backend: Backend,
        stream: PromptStream,
        grader: Grader,
        algorithm: Algorithm,
        sizes: StepSizes,
        sampling: SamplingSettings,
        params: SamplingParams,
        on_phase: Callable[[str], None] = lambda phase: None,
        on_group: Callable[[int, int, int], None] = lambda trained, wanted, generated: None,
    ) -> None:
        """`on_phase` hears what the step is doing, `on_group` how far its sampling has come."""
        self.backend = backend
        self.stream = stream
        self.grader = grader
        self.algorithm = algorithm
        self.sizes = sizes
        self.sampling = sampling
        self.params = params
        self.on_phase = on_phase
        self.on_group = on_group
        self.step = 0
        self.account = Account()
        """Every group and token generated over the run, by what became of it."""
        self.seconds: dict[str, float] = {}

    def train_step(self) -> Step:
        """Sample from the old policy until enough groups carry a signal, then update the policy on them."""
        self.seconds = {}
        with self._phase("sample"):
            sampled = self._collect()  # dynamic sampling, Eq. 11
        groups = sampled.trained
        samples = rows.to_samples(groups, self.algorithm)
        with self._phase("annotate"):
            self.backend.annotate(samples, reference=self.algorithm.kl is not None)
        rows.set_advantages(groups, samples, self.algorithm)  # Eq. 9
        rows.set_weights(samples, self.algorithm, self.backend.exact_sampler)
        with self._phase("update"):
            updates = [
                self.backend.update(mini_batch, rows.totals_of(mini_batch), self.algorithm)  # Eq. 8
                for mini_batch in self._mini_batches(samples)
            ]
            self.backend.sync()  # the sampler speaks with the new policy
        self.step += 1
        self.account.merge(sampled.account)
        return Step(self.step, sampled, samples, step_metrics(sampled, samples, updates, self.seconds))

    def _collect(self) -> Sampled:
        return collect(
            lambda prompts: self.backend.generate(prompts, self.params),
            self._grade,
            self.stream,
            self.sizes.prompts_per_step,
            self.sampling,
            self.sampling.policy or self.algorithm.sampling_policy,
            self.on_group,
        )

    def _grade(self, group: Group) -> GradedGroup:
        """score: the verdict; reward: what the advantage sees."""
        started = time.perf_counter()
        scores = self.grader.grade(group.completions, group.prompt.example)
        graded = rows.with_rewards(group, scores, self.algorithm)
        self.seconds["grade"] = self.seconds.get("grade", 0.0) + time.perf_counter() - started
        return graded

    def _mini_batches(self, samples: list[Sample]) -> list[list[Sample]]:
        """Mini-batches of a fixed size. Only a step that found too few groups ends with a smaller one."""
        size = self.sizes.mini_batch
        return [samples[start : start + size] for start in range(0, len(samples), size)]

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.on_phase(name)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def state(self) -> dict[str, Any]:
        """What a restart needs besides the backend's own state: plain numbers."""
        return {
            "step": self.step,
            "stream": self.stream.state_dict(),
            "groups": self.account.groups,
            "tokens": self.account.tokens,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.stream.load_state_dict(state["stream"])
        self.account = Account(dict(state["groups"]), dict(state["tokens"]))
