"""The plan of a learner's memory: by hand where that can be, and beside what a profiler sees of updates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dapo.planning.activations import BatchShape, Compute, checkpoint_bytes, layer_bytes
from dapo.planning.learner import Sharding, learner_memory
from dapo.planning.shape import describe

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
BATCH = BatchShape(tokens=10, places=12, predicted=6, shared=True)


@pytest.fixture()
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("plan", "_harness", "_workers"):
        sys.modules.pop(name, None)
    import plan

    return plan


def qwen(**changes: Any) -> Any:
    """Qwen2.5-32B, as published."""
    from transformers import Qwen2Config

    sizes: dict[str, Any] = {
        "hidden_size": 5120,
        "num_hidden_layers": 64,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "intermediate_size": 27648,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    }
    return Qwen2Config(**(sizes | changes))


def test_the_shape_of_qwen_32b_has_the_published_number_of_parameters() -> None:
    shape = describe(qwen())
    assert shape.parameters == 32_763_876_352  # the total of its safetensors index, in bfloat16, over 2
    assert shape.parameters - shape.outside == pytest.approx(31.0e9, rel=0.01)  # its card: 31.0 B
    assert (shape.queries, shape.keys, shape.tied) == (5120, 1024, False)


def test_what_a_layer_keeps_in_float32_is_counted_by_hand() -> None:
    config = qwen(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=16,
        vocab_size=32,
    )
    shape = describe(config)
    norms = 2 * 10 * (8 * 8 + 4)  # input and normalised values of 8 numbers, one scale
    inputs = 2 * 10 * 8 * 4  # of queries, keys and values; of gate and up
    attention = 12 * (2 * 8 + 2 * 4) * 4 + 12 * 2 * 4 + 10 * 8 * 4  # q k v out, normaliser, collected
    feed = 4 * 10 * 16 * 4
    assert layer_bytes(shape, BATCH, Compute(4, False)) == norms + inputs + attention + feed
    assert checkpoint_bytes(shape, BATCH) == 10 * 8 * 4


def test_states_are_sixteen_bytes_a_parameter_and_sharded_over_all_ranks() -> None:
    shape = describe(qwen())
    batch, compute = BatchShape(22_528, 22_528, 20_480, True), Compute(2, True, tensor_parallel=4)
    memory = learner_memory(shape, batch, compute, sharding=Sharding(128, 4))
    assert memory.parts["parameters"] == 4 * shape.parameters / 128
    assert memory.resident == 12 * shape.parameters / 128
    alone = learner_memory(shape, batch, Compute(2, True))
    assert alone.parts["gathered layers"] == 0 < memory.parts["gathered layers"]


def test_tensor_parallel_ranks_split_what_is_inside_of_attention_and_feed_forward() -> None:
    shape = describe(qwen(num_hidden_layers=2))
    whole, half = (layer_bytes(shape, BATCH, Compute(2, False, tensor_parallel=n)) for n in (1, 2))
    replicated = 2 * 10 * (5120 * 8 + 4) + 5 * 10 * 5120 * 2
    assert half - replicated == pytest.approx((whole - replicated) / 2)


@pytest.mark.parametrize(
    ("model", "precision", "checkpointing", "share"),
    [
        ("llama", "float32", False, True),
        pytest.param("qwen3", "float32", True, False, marks=pytest.mark.slow),
        ("qwen3_moe", "float32", False, False),
        pytest.param("mixtral", "bfloat16", False, True, marks=pytest.mark.slow),
        pytest.param("llama", "bfloat16", True, True, marks=pytest.mark.slow),
    ],
)
def test_the_plan_is_within_a_tenth_of_what_a_profiler_measures(
    benchmark: Any, model: str, precision: str, checkpointing: bool, share: bool
) -> None:
    case = benchmark.Case(model, precision, checkpointing, share, 2)
    found, batch = benchmark.measured(case)
    expected = benchmark.planned(case, batch)
    assert expected.peak == pytest.approx(found, rel=0.1)
    # Not by what both know: weights, optimizer and gradients are the same on both sides.
    known = 16 * describe(benchmark.config_of(model)).parameters
    assert expected.peak - known == pytest.approx(found - known, rel=0.2)
