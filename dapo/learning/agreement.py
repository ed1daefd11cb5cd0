"""Do sampler and learner speak with the same policy? Relied upon, and looked at in every step.

For the same weights an exact sampler reports the log-probabilities that the learner computes. A completion
of the step's own policy therefore needs no forward pass for its `old_logprobs`. A few are computed all the
same: where sampler and learner drift apart, training goes on as if nothing were wrong, and fails slowly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dapo.errors import UserError
from dapo.types import Sample

WATCHED_SHARE = 0.02
"""Of the loss tokens of a step, about how many are computed although the sampler's would do."""
TOLERANCE = 1e-2
"""Largest difference between two log-probabilities of one token, in nats.

Rounding in float32 makes 1e-5 of it, some 1e-4 for deep models and unlikely tokens. A cache that is off by
a position, a mask that lets padding in, or weights that missed an update move some token of thousands by 0.1
and more.
"""


class SamplerDisagreesError(UserError):
    """The sampler draws from another policy than the learner trains."""


def borrow(samples: Sequence[Sample], version: int) -> list[Sample]:
    """Take over old_logprobs from an exact sampler. Returns the samples that the learner has to compute.

    They are those with a token of another policy than that of `version`, and a few others, chosen at random
    by `version`: about `WATCHED_SHARE` of the step's loss tokens, and at least one sample.
    """
    fresh = [sample for sample in samples if _is_of(sample, version)]
    borrowing = {id(sample) for sample in fresh} - _watched(fresh, version)
    for sample in fresh:
        if id(sample) in borrowing:
            sample.old_logprobs, sample.old_is_borrowed = sample.sampler_logprobs, True
    return [sample for sample in samples if id(sample) not in borrowing]


def _is_of(sample: Sample, version: int) -> bool:
    versions = sample.policy_versions
    return len(versions) > 0 and bool((versions == version).all())


def _watched(samples: Sequence[Sample], version: int) -> set[int]:
    """Ids of the few to be computed all the same."""
    tokens = [int(sample.loss_mask.sum()) for sample in samples]
    generator = torch.Generator().manual_seed(version)
    chosen: set[int] = set()
    found = 0
    for index in torch.randperm(len(samples), generator=generator).tolist():
        if found >= WATCHED_SHARE * sum(tokens):
            break
        if tokens[index]:
            chosen.add(id(samples[index]))
            found += tokens[index]
    return chosen


def compared(samples: Sequence[Sample], version: int) -> tuple[Tensor, Tensor]:
    """What the learner and the sampler say of the same tokens [N] of the policy of `version`.

    Loss tokens only, of the samples whose log-probabilities the learner has computed.
    """
    own = [sample for sample in samples if not sample.old_is_borrowed]
    masks = [sample.loss_mask & (sample.policy_versions == version) for sample in own]
    nothing = torch.empty(0)
    old = [sample.old_logprobs[mask] for sample, mask in zip(own, masks, strict=True)]
    sampler = [sample.sampler_logprobs[mask] for sample, mask in zip(own, masks, strict=True)]
    return torch.cat([nothing, *old]), torch.cat([nothing, *sampler])


def check(samples: Sequence[Sample], exact_version: int | None) -> None:
    """Stop a step whose sampler and learner disagree on an annotated sample; None where they may.

    Raises:
        SamplerDisagreesError: naming the difference, and where it can come from.
    """
    if exact_version is None:
        return
    old, sampler = compared(samples, exact_version)
    difference = float((old - sampler).abs().max()) if len(old) else 0.0
    if not difference <= TOLERANCE:  # so that a log-probability that is no number is found, too
        raise SamplerDisagreesError(
            f"sampler and learner disagree: the log-probabilities of one token differ by {difference:.3g} "
            f"(rounding makes about 1e-5; {TOLERANCE} is the limit), among {len(old):,} tokens compared. "
            "The policy was not updated with them, and the last checkpoint is sound. Either the sampler "
            "works with other weights than the learner, or the model computes something else when a "
            "sequence is read at once than when it is written token by token. Look at: weights changed "
            "outside of the run; code that came with the model (model.trust_remote_code); the attention "
            "implementation (try model.attention=eager); layers that draw at random."
        )
