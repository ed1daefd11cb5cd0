"""The contract between the loop and the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from dapo.algorithms import Algorithm
from dapo.core.reduce import Totals
from dapo.generation import Generation
from dapo.types import Admission, Sample, SamplingParams


class Generator(Protocol):
    """What evaluation needs of a backend."""

    def generate(self, work: Iterator[Admission | None], params: SamplingParams) -> Generation:
        """Sample groups.

        `work` is pulled from whenever a slot is free and no admitted completion waits for one. None means
        'nothing to admit at this moment': what is in flight goes on, and the iterator is asked again at the
        next tick. Besides prompts it may give groups that were handed back in flight: their completions
        are read again and go on, with the noise they would have had undisturbed.
        """
        ...


class Backend(Generator, Protocol):
    """Where the sampler and the learner live."""

    @property
    def policy_version(self) -> int:
        """The policy the sampler speaks with: the number of `sync`s before."""
        ...

    @property
    def exact_sampler(self) -> bool:
        """True if sampler and learner compute the same log-probabilities for the same weights."""
        ...

    @property
    def notes(self) -> list[str]:
        """What the user should know of how this backend computes, a line each."""
        ...

    def annotate(self, samples: Sequence[Sample], reference: bool, entropies: bool) -> None:
        """Fill in old_logprobs under the current policy, ref_logprobs and entropies if asked.

        Under an exact sampler most old_logprobs may be borrowed from it (see `dapo.learning.agreement`).
        """
        ...

    def update(
        self, samples: Sequence[Sample], totals: Totals, algorithm: Algorithm, progress: float
    ) -> dict[str, float]:
        """One optimizer update on a mini-batch, with this share of the run behind it. Returns its metrics."""
        ...

    def sync(self) -> None:
        """From here on the sampler speaks with the learner's current weights."""
        ...

    def save(self, directory: Path) -> None:
        """Write the model, loadable with `from_pretrained`, and the learner's state beside it."""
        ...

    def load(self, directory: Path) -> None:
        """Continue from what `save` wrote."""
        ...

    def close(self) -> None:
        """Give back what the backend holds."""
        ...
