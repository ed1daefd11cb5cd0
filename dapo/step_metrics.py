"""The metrics of a step, under the names that every log, plot and dashboard reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dapo.core.off_policy import mismatch
from dapo.learning.agreement import compared
from dapo.sampling.sampled import Sampled
from dapo.types import GradedGroup, Sample


def step_metrics(
    sampled: Sampled,
    samples: Sequence[Sample],
    updates: Sequence[Mapping[str, float]],
    seconds: Mapping[str, float],
    version: int,
) -> dict[str, float]:
    """Everything worth a line in metrics.jsonl, of a step that began with the policy of `version`.

    `score/*`, `reward/*` and `completion/*` are over all that was finished, kept or not: over the
    trained groups alone they would look better and worse than the policy is. `trained_*` besides them
    shows what training sees.
    """
    return {
        **_finished(sampled),
        **_trained(sampled),
        **_sampling(sampled),
        **sampled.account.metrics(),
        **_staleness(samples, version),
        **_entropy(sampled),
        **_mismatch(samples, version),
        **_updates(updates),
        **_times(sampled, seconds),
    }


def _finished(sampled: Sampled) -> dict[str, float]:
    rollouts = [rollout for group in sampled.finished for rollout in group.rollouts]
    if not rollouts:
        return {}
    signal = sum(group.verdict == "signal" for group in sampled.finished)
    return {
        "sampling/signal_share": signal / len(sampled.finished),
        "score/mean": float(np.mean([r.score.score for r in rollouts])),
        "reward/mean": float(np.mean([r.reward for r in rollouts])),
        "reward/std": float(np.std([r.reward for r in rollouts])),
        "reward/part_errors": float(sum(bool(r.score.part_errors) for r in rollouts)),
        "completion/truncated_share": float(np.mean([r.completion.truncated for r in rollouts])),
        **_lengths("completion/", sampled.finished),
    }


def _trained(sampled: Sampled) -> dict[str, float]:
    rollouts = [rollout for group in sampled.trained for rollout in group.rollouts]
    if not rollouts:
        return {"score/trained_mean": float("nan")}
    return {
        "score/trained_mean": float(np.mean([r.score.score for r in rollouts])),
        **_lengths("completion/trained_", sampled.trained),
    }


def _lengths(prefix: str, groups: Sequence[GradedGroup]) -> dict[str, float]:
    """Mean, median, ninetieth percentile and maximum of the completions' tokens."""
    lengths = np.array([len(rollout.completion) for group in groups for rollout in group.rollouts])
    return {
        f"{prefix}mean_tokens": float(lengths.mean()),
        f"{prefix}p50_tokens": float(np.quantile(lengths, 0.5)),
        f"{prefix}p90_tokens": float(np.quantile(lengths, 0.9)),
        f"{prefix}max_tokens": float(lengths.max()),
    }


def _sampling(sampled: Sampled) -> dict[str, float]:
    return {
        "sampling/copies": float(len(sampled.copies)),
        "sampling/skipped": float(sampled.skipped),
        "sampler/ticks": float(sampled.ticks),
        "sampler/slot_utilization": sampled.account.tokens["generated"]
        / max(1, sampled.ticks * sampled.slots),
    }


def _staleness(samples: Sequence[Sample], version: int) -> dict[str, float]:
    """How many steps ago the trained tokens were drawn, and how many of them enter no loss."""
    if not samples:
        return {}
    ages = version - torch.cat([sample.policy_versions for sample in samples])
    masked = sum(int((~sample.loss_mask).sum()) for sample in samples)
    return {
        "staleness/mean": float(ages.float().mean()),
        "staleness/max": float(ages.max()),
        "staleness/stale_share": float((ages > 0).float().mean()),
        "sampling/masked_tokens": float(masked),
    }


def _entropy(sampled: Sampled) -> dict[str, float]:
    """Of the policy, in nats per token: the mean of -log p over all tokens it wrote, kept or not.

    Without bias, because every token was drawn from the very distribution its log-probability is taken
    under (at the sampling temperature), and because it looks at all that was finished: dynamic sampling
    selects by verdict, which goes along with how sure the policy is. It costs nothing; its standard
    error is about one over the root of the number of tokens.
    """
    surprises = [
        -logprob
        for group in sampled.finished
        for rollout in group.rollouts
        for logprob, own in zip(
            rollout.completion.sampler_logprobs, rollout.completion.trainable, strict=True
        )
        if own
    ]
    return {"policy/entropy": float(np.mean(surprises))} if surprises else {}


def _mismatch(samples: Sequence[Sample], version: int) -> dict[str, float]:
    """How far sampler and learner are apart, over tokens both saw with the same weights."""
    old, sampler = compared(samples, version)
    return {f"mismatch/{name}": value for name, value in mismatch(old, sampler).items()} if len(old) else {}


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
