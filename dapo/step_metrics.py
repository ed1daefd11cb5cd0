"""The metrics of a step, under the names that every log, plot and dashboard reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dapo.core.off_policy import mismatch
from dapo.sampling import Sampled
from dapo.types import Sample


def step_metrics(
    sampled: Sampled,
    samples: Sequence[Sample],
    updates: Sequence[Mapping[str, float]],
    seconds: Mapping[str, float],
) -> dict[str, float]:
    """Everything worth a line in metrics.jsonl.

    `score/*`, `reward/*` and `completion/*` are over all that was generated, kept or not: over the
    trained groups alone they would look better and worse than the policy is.
    """
    return {
        **_generated(sampled),
        **sampled.account.metrics(),
        **_policy(samples),
        **_updates(updates),
        **_times(sampled, seconds),
    }


def _generated(sampled: Sampled) -> dict[str, float]:
    rollouts = [rollout for group in sampled.generated for rollout in group.rollouts]
    trained = [rollout for group in sampled.trained for rollout in group.rollouts]
    lengths = np.array([len(rollout.completion) for rollout in rollouts])
    return {
        "score/mean": float(np.mean([r.score.score for r in rollouts])),
        "score/trained_mean": float(np.mean([r.score.score for r in trained])) if trained else float("nan"),
        "reward/mean": float(np.mean([r.reward for r in rollouts])),
        "reward/std": float(np.std([r.reward for r in rollouts])),
        "reward/errors": float(sum(r.score.error is not None for r in rollouts)),
        "reward/parse_failures": float(sum(r.score.answer is None for r in rollouts)),
        "completion/mean_tokens": float(lengths.mean()),
        "completion/max_tokens": float(lengths.max()),
        "completion/truncated_share": float(np.mean([r.completion.truncated for r in rollouts])),
    }


def _policy(samples: Sequence[Sample]) -> dict[str, float]:
    masks = [sample.loss_mask for sample in samples]
    if not any(bool(mask.any()) for mask in masks):
        return {}
    entropies = torch.cat([s.entropies[mask] for s, mask in zip(samples, masks, strict=True)])
    old = torch.cat([s.old_logprobs[mask] for s, mask in zip(samples, masks, strict=True)])
    sampler = torch.cat([s.sampler_logprobs[mask] for s, mask in zip(samples, masks, strict=True)])
    gap = {f"mismatch/{name}": value for name, value in mismatch(old, sampler).items()}
    return {"policy/entropy": float(entropies.mean()), **gap}


def _updates(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the updates of a step; counts of updates are summed."""
    skipped = sum(update["optim/skipped"] for update in updates)
    metrics = {
        "optim/updates": len(updates) - skipped,
        "optim/skipped": skipped + (not updates),
        "optim/nonfinite": sum(update["optim/nonfinite"] for update in updates),
    }
    names = {name for update in updates for name in update} - metrics.keys()
    for name in sorted(names):
        metrics[name] = float(np.mean([update[name] for update in updates if name in update]))
    return metrics


def _times(sampled: Sampled, seconds: Mapping[str, float]) -> dict[str, float]:
    total = sum(value for name, value in seconds.items() if name != "grade")
    times = {f"time/{name}": value for name, value in seconds.items()}
    return {
        **times,
        "time/step": total,
        "perf/tokens_per_second": sampled.account.tokens["generated"] / max(total, 1e-9),
    }
