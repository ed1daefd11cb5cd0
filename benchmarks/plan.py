"""How near `dapo plan` comes to the memory that an update of the learner takes.

    python benchmarks/plan.py [--quick]

Each row trains a small model of random weights on the CPU, with the learner of the package: two updates,
of which the second is measured, when the optimizer has its states. torch's profiler reports every allocation
and release of tensor memory; the highest sum of them, over what was held before (weights and optimizer,
counted by storage), is the measured peak. Memory that kernels take without torch's allocator is not seen.
The plan has the model's config, the sizes of the batch and the settings, and nothing of the model itself.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from _harness import Row, report
from torch.profiler import ProfilerActivity, profile

from dapo.algorithms import PRESETS
from dapo.learning.batches import collate, plan
from dapo.learning.learner import Learner, LearnerSettings, OptimizerSettings
from dapo.learning.samples import totals_of
from dapo.model import Precision, autocast
from dapo.planning.activations import BatchShape, Compute
from dapo.planning.learner import LearnerMemory, learner_memory
from dapo.planning.shape import describe
from dapo.types import Sample

MB = 1e6
CPU = torch.device("cpu")
ALGORITHM = replace(PRESETS["dapo"], soft_overlong=None)


@dataclass(frozen=True)
class Case:
    """A model, and how an update is computed."""

    model: str
    precision: Precision = "float32"
    checkpointing: bool = False
    share_prompts: bool = True
    batches: int = 2

    @property
    def name(self) -> str:
        how = "shared" if self.share_prompts else "padded"
        again = ", checkpointing" if self.checkpointing else ""
        return f"{self.model}, {self.precision}, {how}{again}, {self.batches} batches"


CASES = [
    Case(model, precision, checkpointing, share)
    for model in ("llama", "qwen2", "qwen3", "qwen3_moe", "mixtral")
    for precision in ("float32", "bfloat16")
    for checkpointing in (False, True)
    for share in (True, False)
] + [Case("qwen2", precision, batches=1) for precision in ("float32", "bfloat16")]
SIZES = {
    "llama": (256, 6, 2048),
    "qwen2": (192, 6, 32_000),
    "qwen3": (256, 4, 24_000),
    "qwen3_moe": (192, 4, 8192),
    "mixtral": (192, 4, 4096),
}
"""Hidden size, layers, vocabulary."""
QUICK = [Case("qwen2"), Case("qwen3_moe", "bfloat16", True, False)]


def config_of(model: str) -> Any:
    """Small models of five makes, with vocabularies small and large, tied and not."""
    import transformers as t

    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096}
    sizes |= dict(zip(("hidden_size", "num_hidden_layers", "vocab_size"), SIZES[model], strict=True))
    match model:
        case "llama":
            return t.LlamaConfig(**sizes, intermediate_size=688, tie_word_embeddings=True)
        case "qwen2":
            return t.Qwen2Config(**sizes, intermediate_size=1024, tie_word_embeddings=False)
        case "qwen3":
            return t.Qwen3Config(**sizes, intermediate_size=768, head_dim=96, tie_word_embeddings=True)
        case "qwen3_moe":
            sizes |= {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
            return t.Qwen3MoeConfig(**sizes, head_dim=48, tie_word_embeddings=False)
        case _:
            sizes |= {"num_local_experts": 4, "num_experts_per_tok": 2}
            return t.MixtralConfig(**sizes, intermediate_size=384)


def samples_for(vocabulary: int, prompts: int, group: int = 4, seed: int = 0) -> list[Sample]:
    """Groups of completions of like length, annotated as a step would."""
    draw = random.Random(seed)
    samples = []
    for _ in range(prompts):
        prompt = [draw.randrange(vocabulary) for _ in range(64)]
        for place in range(group):
            length = 192 - draw.randrange(8)
            mask, ones = torch.ones(length, dtype=torch.bool), torch.ones(length)
            ids = [draw.randrange(vocabulary) for _ in range(length)]
            sample = Sample(prompt, ids, mask, -ones, advantage=1.0 if place % 2 else -1.0)
            sample.old_logprobs, sample.weights, sample.counted = -8 * ones, ones, mask
            samples.append(sample)
    return samples


def measured(case: Case) -> tuple[float, BatchShape]:
    """Bytes at the height of the second update, and the largest of its batches."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = config_of(case.model)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa").eval()
    if case.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    learner = Learner(
        model,
        pad_id=0,
        temperature=1.0,
        context=lambda: autocast(case.precision, CPU),
        optimizer=OptimizerSettings(),
        settings=LearnerSettings(2048, case.share_prompts),
    )
    samples = samples_for(config.vocab_size, 2 * case.batches)
    learner.update(samples, totals_of(samples), ALGORITHM, 0.0)
    before = _held(learner)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        learner.update(samples, totals_of(samples), ALGORITHM, 0.0)
    batches = plan(samples, 2048, learner.policy.layout)
    assert len(batches) == case.batches and learner.policy.head is not None
    shapes = [_shape([samples[index] for index in batch], learner.policy.layout) for batch in batches]
    return before + _highest(seen), max(shapes, key=lambda shape: shape.tokens)


def _shape(samples: Sequence[Sample], layout: Any) -> BatchShape:
    batch = collate(samples, 0, layout)
    rows = batch.shared_rows
    tokens = batch.input_ids.numel()
    places = tokens if rows is None else len(rows.tokens)
    return BatchShape(tokens, places, len(batch.targets), rows is not None)


def _held(learner: Learner) -> float:
    """Bytes of weights and of the optimizer's states, each storage once."""
    tensors = [*learner.model.parameters(), *learner.model.buffers()]
    for state in learner.optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return float(sum(storages.values()))


def _highest(seen: profile) -> float:
    """Highest sum of what was allocated and released, in the order it happened."""
    kineto: Any = seen.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return float(highest)


def planned(case: Case, batch: BatchShape) -> LearnerMemory:
    """What the package expects of the same."""
    compute = Compute(2 if case.precision == "bfloat16" else 4, case.checkpointing)
    return learner_memory(describe(config_of(case.model)), batch, compute, several_batches=case.batches > 1)


def row(case: Case) -> Row:
    found, batch = measured(case)
    expected = planned(case, batch)
    ratio = expected.peak / found
    figure, peer = f"{case.name}: {expected.moment}", f"measured {found / MB:,.1f}"
    return Row(figure, expected.peak / MB, "MB planned", peer, ratio, "0.9 to 1.1", 0.9 <= ratio <= 1.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rows; writes no results")
    given = parser.parse_args()
    rows = [row(case) for case in (QUICK if given.quick else CASES)]
    report("plan", rows, {"cases": len(rows), "tokens_per_batch": 2048}, quick=given.quick)


if __name__ == "__main__":
    main()
