"""The learner: log-probabilities of recorded samples, and one optimizer update at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from dapo.algorithms import Algorithm
from dapo.core.kl import estimate
from dapo.core.reduce import Totals
from dapo.core.schedule import Schedule
from dapo.core.segments import Segments
from dapo.engine.decoder import Context
from dapo.learning.batches import Batch, collate, plan, useful_tokens
from dapo.learning.scoring import Scorer
from dapo.types import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW, its learning rate over the updates, and gradient clipping."""

    lr: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0
    """The gradient of a whole update is scaled down to this norm."""
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError("lr must be positive: with 0 nothing is trained")
        if self.max_grad_norm <= 0:
            raise ValueError("max_grad_norm must be positive; use a large number to switch clipping off")
        if self.weight_decay < 0:
            raise ValueError("weight_decay must be at least 0")


@dataclass(frozen=True)
class LearnerSettings:
    """What only serves memory and speed: none of it changes a result."""

    tokens_per_batch: int = 16384
    """Tokens of samples in one forward and backward pass, padding included."""
    share_prompts: bool = True
    """Read a prompt once for all of its samples in a batch, where the model allows it."""

    def __post_init__(self) -> None:
        if self.tokens_per_batch < 1:
            raise ValueError("tokens_per_batch must be at least 1")


class Learner:
    """Trains one model. The same code serves every backend."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        pad_id: int,
        temperature: float,
        context: Context,
        optimizer: OptimizerSettings,
        settings: LearnerSettings,
        reference: PreTrainedModel | None = None,
    ) -> None:
        """`temperature` is the one completions are sampled at: all log-probabilities are taken there."""
        self.model = model
        self.pad_id = pad_id
        self.context = context
        with context():
            self.policy = Scorer(model, temperature, settings.share_prompts)
            self.reference = (
                None if reference is None else Scorer(reference, temperature, settings.share_prompts)
            )
        self.settings = settings
        self.optimizer_settings = optimizer
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=optimizer.lr,
            betas=optimizer.betas,
            eps=optimizer.epsilon,
            weight_decay=optimizer.weight_decay,
            fused=True,
        )
        self.updates = 0
        """Optimizer updates made so far; the clock of the learning rate's warm-up."""

    @property
    def notes(self) -> list[str]:
        """What the user should know of how this model is trained."""
        return self.policy.notes

    def annotate(self, samples: Sequence[Sample], entropies: bool) -> None:
        """Fill in old_logprobs under the current policy, and the `entropies` if asked for."""
        for sample, logprobs, own in self._scores(self.policy, samples, entropies):
            sample.old_logprobs, sample.old_is_borrowed = logprobs, False
            if own is not None:
                sample.entropies = own

    def annotate_reference(self, samples: Sequence[Sample]) -> None:
        """Fill in ref_logprobs. Raises ValueError where there is no reference model."""
        if self.reference is None:
            raise ValueError("reference log-probabilities need a reference model")
        for sample, logprobs, _ in self._scores(self.reference, samples, entropies=False):
            sample.ref_logprobs = logprobs

    def update(
        self, samples: Sequence[Sample], totals: Totals, algorithm: Algorithm, progress: float
    ) -> dict[str, float]:
        """One optimizer update (DAPO Eq. 8) on an annotated mini-batch, `progress` of the run behind it.

        `totals` holds the denominators of the whole mini-batch, so that no gradient depends on how it
        is cut into batches. An update without a loss token, or with a gradient that is not finite,
        leaves the weights alone and says so in `optim/skipped`.
        """
        if totals.tokens == 0:
            return {"optim/skipped": 1.0, "optim/nonfinite": 0.0}
        sums = self.accumulate(samples, totals, algorithm)
        norm = float(clip_grad_norm_(self.parameters, self.optimizer_settings.max_grad_norm))
        metrics = {name: value for name, value in sums.items() if name == "loss"}
        loss_tokens = sum(int(sample.loss_mask.sum()) for sample in samples)
        metrics |= {f"policy/{name}": value / loss_tokens for name, value in sums.items() if name != "loss"}
        batches = self._batches(self.policy, _with_loss(samples))
        metrics["learner/useful_tokens"] = useful_tokens(batches, self.policy.layout)
        finite = bool(torch.tensor(norm).isfinite())
        if finite:
            metrics["optim/lr"] = self._step(progress)
            metrics["optim/grad_norm"] = norm
        self.optimizer.zero_grad(set_to_none=True)
        return metrics | {"optim/skipped": float(not finite), "optim/nonfinite": float(not finite)}

    def accumulate(self, samples: Sequence[Sample], totals: Totals, algorithm: Algorithm) -> dict[str, float]:
        """Add the gradient of the mini-batch's loss to the parameters. Returns sums over its tokens."""
        sums: dict[str, float] = {}
        checkpoints = any(vars(module).get("gradient_checkpointing") for module in self.model.modules())
        if checkpoints:  # asks whether the model is in training; nothing else does, as nothing is dropped
            self.model.train()
        with self.policy.recomputing():
            for chosen in self._batches(self.policy, _with_loss(samples)):
                loss, metrics = self._loss(chosen, totals, algorithm)
                loss.backward()
                for name, value in {"loss": loss.detach(), **metrics}.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        if checkpoints:
            self.model.eval()
        return sums

    def _batches(self, scorer: Scorer, samples: Sequence[Sample]) -> list[list[Sample]]:
        batches = plan(samples, self.settings.tokens_per_batch, scorer.layout)
        return [[samples[index] for index in indices] for indices in batches]

    def _loss(
        self, samples: Sequence[Sample], totals: Totals, algorithm: Algorithm
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """This batch's share of the update's loss, and sums over its loss tokens."""
        mask = torch.cat([sample.loss_mask for sample in samples])
        batch = collate(samples, self.pad_id, self.policy.layout).only(mask)
        logprobs, entropies = self._score(self.policy, batch, algorithm.entropy_bonus > 0)
        device = logprobs.device

        def flat(parts: list[Tensor]) -> Tensor:
            return torch.cat(parts)[mask].to(device)

        old_logprobs = flat([sample.old_logprobs for sample in samples])
        advantages = flat([torch.full((len(sample.completion_ids),), sample.advantage) for sample in samples])
        segments = Segments.from_lengths([int(sample.loss_mask.sum()) for sample in samples], device)
        per_token, metrics = algorithm.loss(logprobs, old_logprobs, advantages, segments)
        per_token = per_token * flat([sample.weights for sample in samples])
        if algorithm.kl is not None and algorithm.kl.where == "loss":
            ref_logprobs = flat([sample.ref_logprobs for sample in samples])
            kl = estimate(logprobs, ref_logprobs, algorithm.kl.estimator)
            per_token = per_token + algorithm.kl.coefficient * kl
            metrics = {**metrics, "kl_reference": kl.detach().sum()}
        if entropies is not None:
            per_token = per_token - algorithm.entropy_bonus * entropies
        loss = algorithm.reduction(per_token, segments, totals, flat([sample.counted for sample in samples]))
        return loss, {**metrics, "kl_old": (old_logprobs - logprobs.detach()).sum()}

    @torch.no_grad()
    def _scores(
        self, scorer: Scorer, samples: Sequence[Sample], entropies: bool
    ) -> Iterator[tuple[Sample, Tensor, Tensor | None]]:
        """Each sample with the log-probabilities and entropies of its completion tokens."""
        for chosen in self._batches(scorer, samples):
            lengths = [len(sample.completion_ids) for sample in chosen]
            batch = collate(chosen, self.pad_id, scorer.layout)
            logprobs, found = self._score(scorer, batch, entropies)
            parts = [None] * len(chosen) if found is None else found.cpu().split(lengths)
            yield from zip(chosen, logprobs.cpu().split(lengths), parts, strict=True)

    def _score(self, scorer: Scorer, batch: Batch, entropies: bool) -> tuple[Tensor, Tensor | None]:
        with self.context():
            return scorer(batch, entropies)

    def _step(self, progress: float) -> float:
        """Apply the gradient at the scheduled learning rate, which is returned."""
        settings = self.optimizer_settings
        lr = settings.lr * settings.schedule(self.updates, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.updates += 1
        return lr

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The optimizer's tensors and the schedule's clock."""
        tensors = {
            f"optimizer/{index}/{name}": value
            for index, entries in self.optimizer.state_dict()["state"].items()
            for name, value in entries.items()
        }
        return tensors, {"updates": self.updates}

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from `state`."""
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            _, index, name = key.split("/", 2)
            entries.setdefault(int(index), {})[name] = value
        current = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": entries, "param_groups": current["param_groups"]})
        self.updates = int(values["updates"])


def _with_loss(samples: Sequence[Sample]) -> list[Sample]:
    """The samples that have a token in the loss: the others need no pass."""
    return [sample for sample in samples if bool(sample.loss_mask.any())]
