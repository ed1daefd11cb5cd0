"""What the learner computes, and what it leaves alone because nothing reads it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dapo.algorithms import PRESETS, Algorithm
from dapo.learning import samples as rows
from dapo.learning.batches import Batch
from dapo.learning.learner import Learner, LearnerSettings, OptimizerSettings
from dapo.learning.scoring import Scorer
from dapo.model import ModelSettings, load_codec, load_model
from dapo.types import Sample

DAPO = PRESETS["dapo"].resolved(64)
WITH_BONUS = replace(DAPO, entropy_bonus=0.01)


@pytest.fixture
def learner(tiny_model: Path) -> Learner:
    model = ModelSettings(str(tiny_model), template="plain")
    return Learner(
        load_model(model),
        pad_id=load_codec(model).pad_id,
        temperature=1.0,
        context=nullcontext,
        optimizer=OptimizerSettings(lr=1e-3),
        settings=LearnerSettings(),
    )


def samples(learner: Learner) -> list[Sample]:
    """Of 4, 10 and 10 completion tokens; the second has 6 loss tokens, the third none."""
    made = [
        Sample(
            prompt_ids=[3, 4],
            completion_ids=list(range(5, 5 + length)),
            loss_mask=torch.arange(length) < counted,
            sampler_logprobs=torch.full((length,), -3.0),
            advantage=1.0,
        )
        for length, counted in ((4, 4), (10, 6), (10, 0))
    ]
    learner.annotate(made, entropies=False)
    rows.set_weights(made, DAPO, exact_version=None)
    return made


def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Batch, bool]]:
    """What is asked of a policy from here on."""
    calls: list[tuple[Batch, bool]] = []
    original = Scorer.__call__

    def record(self: Scorer, batch: Batch, entropies: bool) -> Any:
        calls.append((batch, entropies))
        return original(self, batch, entropies)

    monkeypatch.setattr(Scorer, "__call__", record)
    return calls


@pytest.mark.parametrize(("algorithm", "asked"), [(DAPO, False), (WITH_BONUS, True)])
def test_an_update_reads_loss_tokens_only_and_entropies_only_for_a_bonus(
    learner: Learner, algorithm: Algorithm, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = samples(learner)
    calls = scored(monkeypatch)
    learner.settings = LearnerSettings(tokens_per_batch=12)
    metrics = learner.update(made, rows.totals_of(made), algorithm, 0.0)
    # Each batch reads its prompt of 2, and of the completions, of 4 and 10 tokens, all but the last.
    assert [(batch.input_ids.shape[1], len(batch.targets), e) for batch, e in calls] == [
        (2 + 3, 4, asked),
        (2 + 9, 6, asked),
    ]
    assert metrics["learner/useful_tokens"] == 18 / 16


@pytest.mark.parametrize("asked", [True, False])
def test_annotation_scores_every_completion_token_and_entropies_if_asked(
    learner: Learner, asked: bool
) -> None:
    made = samples(learner)
    learner.annotate(made, entropies=asked)
    for sample in made:
        assert len(sample.old_logprobs) == len(sample.completion_ids)
        assert len(sample.entropies) == (len(sample.completion_ids) if asked else 0)


def test_an_entropy_bonus_raises_the_entropy(learner: Learner) -> None:
    """With no advantage, the bonus is all that moves the policy."""
    made = samples(learner)
    for sample in made:
        sample.advantage = 0.0
    learner.annotate(made, entropies=True)
    before = torch.cat([sample.entropies[sample.loss_mask] for sample in made]).mean()
    learner.update(made, rows.totals_of(made), WITH_BONUS, 0.0)
    learner.annotate(made, entropies=True)
    assert torch.cat([sample.entropies[sample.loss_mask] for sample in made]).mean() > before


def test_reference_log_probabilities_need_a_reference(learner: Learner) -> None:
    with pytest.raises(ValueError, match="need a reference model"):
        learner.annotate_reference(samples(learner))


def test_a_model_whose_logits_have_to_be_held_is_noted(learner: Learner) -> None:
    assert learner.notes == []
    learner.policy.head = None
    assert "LlamaForCausalLM does more" in learner.notes[0]
