"""The contract between the loop and the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from dapo.algorithms import Algorithm
from dapo.core.reduce import Totals
from dapo.types import Group, Prompt, Sample, SamplingParams


class Generator(Protocol):
    """What evaluation needs of a backend."""

    def generate(self, prompts: Iterator[Prompt | None], params: SamplingParams) -> Iterator[Group]:
        """Sample groups, each handed over as soon as its last completion has ended.

        `prompts` is pulled from whenever the sampler has room. None means 'nothing to admit at this
        moment': what is in flight goes on and the iterator is asked again afterwards. The stream ends
        with the iterator, or when it gives None while nothing is in flight. It can be closed at any
        group.
        """
        ...


class Backend(Generator, Protocol):
    """Where the sampler and the learner live."""

    @property
    def exact_sampler(self) -> bool:
        """True if sampler and learner compute the same log-probabilities for the same weights."""
        ...

    def annotate(self, samples: Sequence[Sample], reference: bool) -> None:
        """Fill in old_logprobs and entropies under the current policy, ref_logprobs if asked."""
        ...

    def update(self, samples: Sequence[Sample], totals: Totals, algorithm: Algorithm) -> dict[str, float]:
        """One optimizer update on a mini-batch. Returns its metrics."""
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
