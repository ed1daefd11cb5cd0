"""Everything in one process: the sampler reads the very weights the learner updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from dapo.algorithms import Algorithm
from dapo.core.reduce import Totals
from dapo.engine.sampler import EmbeddedGeneration, Sampler, SamplerSettings
from dapo.learning.agreement import borrow
from dapo.learning.learner import Learner, LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings, autocast, load_codec, load_model, precision_note, save_model
from dapo.run.state import load_state, save_state
from dapo.text import TextCodec
from dapo.types import Admission, Sample, SamplingParams

LEARNER_STATE = "learner"


class LocalSampler:
    """A model that only samples: what evaluation needs."""

    def __init__(
        self, model: ModelSettings, sampler: SamplerSettings, codec: TextCodec | None = None
    ) -> None:
        self.settings = model
        self.codec = codec or load_codec(model)
        self.model = load_model(model)
        self.policy_version = 0
        self.sampler = Sampler(self.model, self.codec, sampler, self._context)

    @property
    def notes(self) -> list[str]:
        """What the user should know of how this model is sampled, and trained, a line each."""
        slow = precision_note(self.settings.precision, self.model.device)
        return self.sampler.notes if slow is None else [slow, *self.sampler.notes]

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self.model.device)

    def _context(self) -> AbstractContextManager[object]:
        return autocast(self.settings.precision, self.model.device)

    def generate(self, work: Iterator[Admission | None], params: SamplingParams) -> EmbeddedGeneration:
        return self.sampler.generate(work, params, self.policy_version)


class LocalBackend(LocalSampler):
    """Sampler and learner over one set of weights."""

    def __init__(
        self,
        model: ModelSettings,
        *,
        sampler: SamplerSettings,
        learner: LearnerSettings,
        optimizer: OptimizerSettings,
        temperature: float,
        with_reference: bool = False,
        codec: TextCodec | None = None,
    ) -> None:
        super().__init__(model, sampler, codec)
        self.learner = Learner(
            self.model,
            pad_id=self.codec.pad_id,
            temperature=temperature,
            context=self._context,
            optimizer=optimizer,
            settings=learner,
            reference=load_model(model).requires_grad_(False) if with_reference else None,
        )

    @property
    def exact_sampler(self) -> bool:
        """In float32 decoding and training agree to rounding; in bfloat16 they measurably do not."""
        return self.settings.precision == "float32"

    @property
    def notes(self) -> list[str]:
        return [*super().notes, *self.learner.notes]

    def annotate(self, samples: Sequence[Sample], reference: bool, entropies: bool) -> None:
        borrows = self.exact_sampler and not entropies
        own = borrow(samples, self.policy_version) if borrows else samples
        self.learner.annotate(own, entropies)
        if reference:
            self.learner.annotate_reference(samples)

    def update(
        self, samples: Sequence[Sample], totals: Totals, algorithm: Algorithm, progress: float
    ) -> dict[str, float]:
        return self.learner.update(samples, totals, algorithm, progress)

    def sync(self) -> None:
        self.policy_version += 1

    def save(self, directory: Path) -> None:
        save_model(self.model, self.codec, directory)
        tensors, values = self.learner.state()
        own = {"policy_version": self.policy_version, "slots": self.sampler.slots}
        save_state(directory / LEARNER_STATE, tensors, values | own)

    def load(self, directory: Path) -> None:
        saved = load_model(replace(self.settings, path=str(directory), revision=None))
        self.model.load_state_dict(saved.state_dict())
        tensors, values = load_state(directory / LEARNER_STATE)
        self.learner.load_state(tensors, values)
        self.policy_version = int(values["policy_version"])
        if self.sampler.settings.slots is None:  # chosen by memory once, when the run began
            self.sampler.slots = int(values["slots"])

    def close(self) -> None:
        del self.learner, self.sampler, self.model
