"""A decoder that gets a model wrong is found out before it samples, and a slower one takes its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedModel

from dapo.engine import choice
from dapo.engine.cache import SlotCache
from dapo.engine.decoder import Integers
from dapo.engine.fused import FusedDecoder
from dapo.engine.slotted import SlottedDecoder
from dapo.engine.waves import WaveDecoder
from dapo.engine.weights import FusedWeights, LayerWeights
from dapo.errors import UserError
from dapo.types import SamplingParams
from tests.unit.engine import tiny

DIFFERS = r"its logits differ from the model's own, by \S+ standard deviations"


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def turned_the_wrong_way(patch: pytest.MonkeyPatch) -> None:
    rotations = FusedWeights.rotations
    patch.setattr(FusedWeights, "rotations", lambda self, count: rotations(self, count).conj())


def halves_not_side_by_side(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FusedWeights, "_side_by_side", lambda self, weight, heads: weight.detach())


def one_position_late(patch: pytest.MonkeyPatch) -> None:
    """Only for what is decoded: a shift of all positions alike changes nothing."""
    layers: Any = FusedDecoder._layers

    def late(self: FusedDecoder, ids: Tensor, positions: Tensor, rows: Tensor, *others: Any) -> Tensor:
        kept = self._rotations
        if others[1] is None:
            self._rotations = kept.roll(-1, 0)
        hidden: Tensor = layers(self, ids, positions, rows, *others)
        self._rotations = kept
        return hidden

    patch.setattr(FusedDecoder, "_layers", late)


def mask_a_column_short(patch: pytest.MonkeyPatch) -> None:
    mask = FusedDecoder._mask
    patch.setattr(FusedDecoder, "_mask", lambda self, there: mask(self, there & there.roll(-1, 1)))


def mask_a_column_long(patch: pytest.MonkeyPatch) -> None:
    mask = FusedDecoder._mask
    patch.setattr(FusedDecoder, "_mask", lambda self, there: mask(self, there | there.roll(1, 1)))


def changed(change: Callable[[LayerWeights], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def make(patch: pytest.MonkeyPatch) -> None:
        layer = FusedWeights._layer

        def wrong(self: FusedWeights, module: Any) -> LayerWeights:
            weights = layer(self, module)
            change(weights)
            return weights

        patch.setattr(FusedWeights, "_layer", wrong)

    return make


def no_norm(weights: LayerWeights) -> None:
    weights.norm_mid = torch.ones_like(weights.norm_mid)


def no_query_norm(weights: LayerWeights) -> None:
    weights.norm_q = weights.norm_k = None


def no_bias(weights: LayerWeights) -> None:
    weights.qkv_bias = None


def gate_and_up_exchanged(weights: LayerWeights) -> None:
    weights.gate_up = torch.cat(weights.gate_up.chunk(2, dim=-1)[::-1], dim=-1)


def rows_not_moved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SlotCache, "arrange", lambda self, order, lengths: None)


def prompt_not_shared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SlotCache, "spread", lambda self, source, start, stop, columns: None)


def slots_see_no_mask(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SlottedDecoder, "_mask", lambda self, seen: torch.ones_like(seen)[:, None, None])
    turned_the_wrong_way(patch)


FUSED_MISTAKES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "turned the wrong way": turned_the_wrong_way,
    "halves not side by side": halves_not_side_by_side,
    "one position late": one_position_late,
    "mask a column short": mask_a_column_short,
    "mask a column long": mask_a_column_long,
    "no norm": changed(no_norm),
    "no query norm": changed(no_query_norm),
    "no bias": changed(no_bias),
    "gate and up exchanged": changed(gate_and_up_exchanged),
}
SLOT_MISTAKES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "rows not moved": rows_not_moved,
    "prompt not shared": prompt_not_shared,
    "no mask": slots_see_no_mask,
}


# In bfloat16 the tolerance is as wide as what the smaller mistakes make.
@pytest.mark.parametrize(
    ("mistake", "context"),
    [
        *((mistake, nullcontext) for mistake in FUSED_MISTAKES),
        *((mistake, autocast) for mistake in ("turned the wrong way", "no query norm", "no bias")),
    ],
)
def test_a_fused_decoder_that_is_wrong_gives_way_to_the_models_own_modules(
    monkeypatch: pytest.MonkeyPatch, mistake: str, context: Any
) -> None:
    model = tiny.model("qwen3", attention_bias=True)
    FUSED_MISTAKES[mistake](monkeypatch)
    sampler = tiny.sampler(model, 4, context)
    assert isinstance(sampler.decoder(), SlottedDecoder)
    (note,) = sampler.notes
    assert re.fullmatch(f"the sampler runs the model's own modules, which is slower: {DIFFERS}", note)


@pytest.mark.parametrize("mistake", SLOT_MISTAKES)
def test_slots_that_are_wrong_give_way_to_batches(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    model = tiny.model("qwen3", attention_bias=True)
    SLOT_MISTAKES[mistake](monkeypatch)
    sampler = tiny.sampler(model, 4)
    assert isinstance(sampler.decoder(), WaveDecoder)
    (note,) = sampler.notes
    assert re.fullmatch(f"the sampler works batch by batch, which is slow: {DIFFERS}", note)


def another_row_goes_on(patch: pytest.MonkeyPatch) -> None:
    def drop(self: WaveDecoder, ended: Sequence[int]) -> Integers:
        self._rows = self._rows[: len(self._rows) - len(ended)]
        return np.arange(len(self._rows)) + len(ended)

    patch.setattr(WaveDecoder, "drop", drop)


def no_cache(patch: pytest.MonkeyPatch) -> None:
    def fail(self: WaveDecoder, ids: Tensor, positions: Tensor) -> Tensor:
        raise AttributeError("its output has no cache")

    patch.setattr(WaveDecoder, "_forward", fail)


@pytest.mark.parametrize(
    ("mistake", "reason"), [(another_row_goes_on, DIFFERS), (no_cache, "its output has no cache")]
)
def test_a_model_that_no_decoder_gets_right_is_refused(
    monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None], reason: str
) -> None:
    """Before a run has spent hours on what another model might have written."""
    model = tiny.model("mamba", "eager")
    mistake(monkeypatch)
    with pytest.raises(
        UserError, match=f"MambaForCausalLM cannot be sampled from: with its cache, {reason};"
    ):
        tiny.sampler(model, 4)


@pytest.mark.parametrize("context", [nullcontext, autocast])
@pytest.mark.parametrize(
    "model", [tiny.model("qwen3"), LlamaForCausalLM(tiny.model().config).eval()], ids=["wild", "untrained"]
)
def test_a_decoder_that_is_right_passes_with_room(model: PreTrainedModel, context: Any) -> None:
    """What rounding makes is far below the tolerance."""
    dtype = choice.compute_dtype(model, context)
    weights = FusedWeights(model, dtype)
    found = choice._probe(lambda slots: FusedDecoder(weights, slots, 1000), model, context)
    assert found < choice.TOLERANCE[dtype] / 3


def pretending(forward: Callable[[Any], Any]) -> PreTrainedModel:
    """A model whose class calls itself transformers' own Llama, and does more."""

    class Scaled(LlamaForCausalLM):
        def forward(self, *arguments: Any, **keywords: Any) -> Any:
            return forward(super().forward(*arguments, **keywords))

    Scaled.__name__ = "LlamaForCausalLM"
    Scaled.__module__ = "transformers.models.llama.modeling_llama"
    made = Scaled(tiny.model().config).eval()
    made.load_state_dict(tiny.model().state_dict())
    return made


def test_a_llama_that_scales_its_logits_is_no_llama() -> None:
    def scaled(output: Any) -> Any:
        output.logits = output.logits / 1.01
        return output

    model = pretending(scaled)
    sampler = tiny.sampler(model, 4)
    assert isinstance(sampler.decoder(), SlottedDecoder)
    prompts = tiny.prompts([5, 3])
    for group in sampler.generate(iter(prompts), SamplingParams(completions_per_prompt=2)):
        for completion in group.completions:
            expected = tiny.plain_logprobs(model, group.prompt, completion)
            assert completion.sampler_logprobs == pytest.approx(expected, abs=1e-5)
    assert isinstance(tiny.sampler(pretending(lambda output: output), 4).decoder(), FusedDecoder)


def test_a_subclass_of_llama_is_not_taken_for_llama() -> None:
    class Other(LlamaForCausalLM):
        pass

    sampler = tiny.sampler(Other(tiny.model().config).eval(), 4)
    assert isinstance(sampler.decoder(), SlottedDecoder)
    assert sampler.notes == [
        "the sampler runs the model's own modules, which is slower: Other is not of Llama's family"
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_act": "gelu"}, "its activation is gelu"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "its rotary embedding is of the type dynamic",
        ),
    ],
)
def test_what_the_fused_decoder_does_not_know_is_named(changes: dict[str, Any], reason: str) -> None:
    sampler = tiny.sampler(tiny.model(**changes), 4)
    assert isinstance(sampler.decoder(), SlottedDecoder)
    assert sampler.notes == [f"the sampler runs the model's own modules, which is slower: {reason}"]


def test_linear_layers_of_another_kind_are_run_by_the_model() -> None:
    """An adapter changes what a layer computes, and its weight does not say so."""

    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    model = tiny.model()
    model.lm_head.__class__ = Doubled
    sampler = tiny.sampler(model, 4)
    assert isinstance(sampler.decoder(), SlottedDecoder)
    assert "linear layers of another kind" in sampler.notes[0]
