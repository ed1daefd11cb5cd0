"""From graded groups to training rows: rewards, masks, advantages, weights and the update's totals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dapo.algorithms import Algorithm
from dapo.core.kl import estimate
from dapo.core.off_policy import ImportanceCorrection
from dapo.core.reduce import Totals, count_totals
from dapo.core.segments import Segments
from dapo.core.shaping import SoftOverlong, signed
from dapo.types import Completion, GradedGroup, Group, Rollout, Sample, Score


def with_rewards(
    group: Group, scores: Sequence[Score], algorithm: Algorithm, max_completion_tokens: int
) -> GradedGroup:
    """Attach to each completion what the advantage will see: the scaled score plus all shaping.

    `max_completion_tokens` is the limit the algorithm's lengths stand for; a prompt may have a lower one.
    """
    overlong = algorithm.soft_overlong
    if overlong is not None:
        overlong = overlong.scaled(group.prompt.max_completion_tokens / max_completion_tokens)
    rollouts = [
        Rollout(completion, score, _scaled(score, algorithm) + _shaping(completion, score, overlong))
        for completion, score in zip(group.completions, scores, strict=True)
    ]
    return GradedGroup(group.prompt, rollouts)


def _scaled(score: Score, algorithm: Algorithm) -> float:
    if score.reward is not None:
        return score.reward
    return signed(score.score) if algorithm.signed_rewards else score.score


def _shaping(completion: Completion, score: Score, overlong: SoftOverlong | None) -> float:
    return sum(score.parts.values()) + (0.0 if overlong is None else overlong(len(completion)))


def to_samples(groups: Sequence[GradedGroup], algorithm: Algorithm) -> list[Sample]:
    """One training row per rollout, group by group."""
    return [
        _to_sample(group, rollout.completion, algorithm) for group in groups for rollout in group.rollouts
    ]


def _to_sample(group: GradedGroup, completion: Completion, algorithm: Algorithm) -> Sample:
    loss_mask = torch.tensor(completion.trainable, dtype=torch.bool)
    if algorithm.overlong_filter is not None:
        loss_mask = algorithm.overlong_filter.loss_mask(completion.truncated, loss_mask)
    return Sample(
        prompt_ids=group.prompt.token_ids,
        completion_ids=completion.token_ids,
        loss_mask=loss_mask,
        sampler_logprobs=torch.tensor(completion.sampler_logprobs),
        policy_versions=torch.tensor(completion.policy_versions),
    )


def set_advantages(groups: Sequence[GradedGroup], samples: Sequence[Sample], algorithm: Algorithm) -> None:
    """Give every annotated sample its advantage, computed once over the whole group (DAPO Eq. 9)."""
    rows = iter(samples)
    rewards, baseline = [], []
    for group in groups:
        penalties = [_kl_penalty(sample, algorithm) for _, sample in zip(group.rollouts, rows, strict=False)]
        rewards.append(
            torch.tensor(
                [rollout.reward - kl for rollout, kl in zip(group.rollouts, penalties, strict=True)],
                dtype=torch.float64,
            )
        )
        baseline.append(_baseline(group, algorithm))
    advantages = torch.cat(algorithm.advantage(rewards, baseline)).tolist() if groups else []
    for sample, advantage in zip(samples, advantages, strict=True):
        sample.advantage = advantage


def _baseline(group: GradedGroup, algorithm: Algorithm) -> Tensor:
    """Bool [G]: the completions that enter the group's mean and standard deviation."""
    truncated = torch.tensor([rollout.completion.truncated for rollout in group.rollouts])
    overlong = algorithm.overlong_filter
    return torch.ones_like(truncated) if overlong is None else overlong.baseline(truncated)


def _kl_penalty(sample: Sample, algorithm: Algorithm) -> float:
    """What a KL penalty in the reward takes off: its estimate summed over the completion's own tokens."""
    kl = algorithm.kl
    if kl is None or kl.where != "reward":
        return 0.0
    mask = sample.loss_mask
    per_token = estimate(sample.old_logprobs[mask], sample.ref_logprobs[mask], kl.estimator)
    return kl.coefficient * float(per_token.sum())


def set_weights(samples: Sequence[Sample], algorithm: Algorithm, exact_version: int | None) -> None:
    """Set each token's weight in the loss and in the denominators of an annotated step.

    The weight is the importance correction of a token that was not drawn from the policy of this step,
    times the mask of high-entropy tokens. `exact_version` is the policy whose log-probabilities the
    sampler computes exactly as the learner does: its tokens enter the correction with a ratio of exactly 1.
    None: all tokens are corrected.
    """
    for sample in samples:
        sample.weights = torch.ones(len(sample.completion_ids))
        sample.counted = sample.loss_mask
    inexact = any(exact_version is None or bool((s.policy_versions != exact_version).any()) for s in samples)
    if algorithm.off_policy is not None and inexact:
        _correct(samples, algorithm.off_policy, exact_version)
    if algorithm.entropy_mask is not None:
        masks = [sample.loss_mask for sample in samples]
        kept = algorithm.entropy_mask([sample.entropies for sample in samples], masks)
        for sample, keep in zip(samples, kept, strict=True):
            sample.weights = sample.weights * keep
            if algorithm.entropy_mask.denominator == "kept":
                sample.counted = sample.loss_mask & keep


def _correct(samples: Sequence[Sample], correction: ImportanceCorrection, exact_version: int | None) -> None:
    """Weight tokens by how likely the policy of this step draws them, over the one that did."""
    lengths = [int(sample.loss_mask.sum()) for sample in samples]
    old = torch.cat([sample.old_logprobs[sample.loss_mask] for sample in samples])
    sampler = torch.cat([sample.sampler_logprobs[sample.loss_mask] for sample in samples])
    if exact_version is not None:
        versions = torch.cat([sample.policy_versions[sample.loss_mask] for sample in samples])
        # Of an exact sampler the two differ by rounding, which is no reason for a weight.
        sampler = torch.where(versions == exact_version, old, sampler)
    weights = correction(old, sampler, Segments.from_lengths(lengths))
    for sample, part in zip(samples, weights.split(lengths), strict=True):
        sample.weights[sample.loss_mask] = part


def copies_of(samples: Sequence[Sample], groups: Sequence[int], group_size: int) -> list[Sample]:
    """The samples of these groups once more, with the advantages they have."""
    return [sample for group in groups for sample in samples[group * group_size : (group + 1) * group_size]]


def totals_of(samples: Sequence[Sample]) -> Totals:
    """The denominators of one update, over all of its samples."""
    return count_totals([sample.counted for sample in samples])
