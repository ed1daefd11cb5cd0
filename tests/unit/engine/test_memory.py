"""How many sequences fit side by side."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from dapo.backends.local import LocalBackend
from dapo.engine import memory
from dapo.engine.memory import bytes_per_token, slots_for
from dapo.engine.sampler import Sampler, SamplerSettings
from dapo.learning.learner import LearnerSettings, OptimizerSettings
from dapo.model import ModelSettings
from tests.unit.engine import tiny


def with_bytes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A machine with so much memory, of which the cache may have 30 %."""
    monkeypatch.setattr(memory, "_memory", lambda device: count)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # layers x (keys and values) x key-value heads x dimension x 4 bytes
        ({"model_type": "llama"}, 2 * 2 * 2 * 8 * 4),
        ({"model_type": "llama", "num_hidden_layers": 3, "head_dim": 12}, 3 * 2 * 2 * 12 * 4),
        ({"model_type": "qwen3", "num_key_value_heads": 1, "head_dim": 16}, 2 * 2 * 1 * 16 * 4),
        ({"model_type": "gpt2"}, 2 * 2 * 4 * 8 * 4),
        # Only one of its layers has keys.
        ({"model_type": "lfm2", "layer_types": ["conv", "full_attention"]}, 1 * 2 * 2 * 8 * 4),
    ],
)
def test_a_token_takes_its_keys_and_values_in_all_layers(changes: dict[str, object], expected: int) -> None:
    assert bytes_per_token(tiny.model(**changes), nullcontext) == expected  # type: ignore[arg-type]


def test_as_many_sequences_as_their_share_of_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token takes 256 bytes, a sequence of 100 tokens 25,600; of 512,000 bytes 153,600 are free: 6."""
    with_bytes(monkeypatch, 512_000)
    model = tiny.model()
    assert slots_for(model, nullcontext, 100) == 6
    assert slots_for(model, nullcontext, 50) == 12
    # Longer than the model reads, or not said: 256 positions, of which 2.34 fit.
    assert slots_for(model, nullcontext, 100_000) == slots_for(model, nullcontext, None) == 2


@pytest.mark.parametrize(("count", "slots"), [(1, 1), (1 << 50, 256)])
def test_there_is_at_least_one_slot_and_at_most_256(
    monkeypatch: pytest.MonkeyPatch, count: int, slots: int
) -> None:
    with_bytes(monkeypatch, count)
    assert slots_for(tiny.model(), nullcontext, None) == slots
    mamba = tiny.model("mamba", "eager")  # has no cache that grows
    assert slots_for(mamba, nullcontext, None) == slots


def test_what_is_said_goes_before_what_memory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with_bytes(monkeypatch, 512_000)
    model, codec = tiny.model(), tiny.codec()
    assert Sampler(model, codec, SamplerSettings(slots=9), nullcontext).slots == 9
    assert Sampler(model, codec, SamplerSettings(sequence_tokens=100), nullcontext).slots == 6


def test_a_resumed_run_has_the_slots_it_began_with(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path
) -> None:
    def backend(memory_bytes: int, slots: int | None = None) -> LocalBackend:
        with_bytes(monkeypatch, memory_bytes)
        return LocalBackend(
            ModelSettings(str(tiny_model), template="plain"),
            sampler=SamplerSettings(slots=slots, sequence_tokens=100),
            learner=LearnerSettings(),
            optimizer=OptimizerSettings(),
            temperature=1.0,
        )

    first = backend(512_000)
    assert first.sampler.slots == 6
    first.save(tmp_path / "saved")
    resumed = backend(1 << 30)
    assert resumed.sampler.slots == 256
    resumed.load(tmp_path / "saved")
    assert resumed.sampler.slots == resumed.sampler.decoder().slots == 6
    told = backend(1 << 30, slots=3)
    told.load(tmp_path / "saved")
    assert told.sampler.slots == 3


def test_memory_is_what_the_container_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_container_limit", lambda: 12_345)
    assert memory._memory(torch.device("cpu")) == 12_345
    monkeypatch.setattr(memory, "_container_limit", lambda: 1 << 62)
    assert 1 << 26 < memory._memory(torch.device("cpu")) < 1 << 62


@pytest.mark.parametrize(("text", "limit"), [("max\n", 1 << 62), ("2147483648\n", 1 << 31), (None, 1 << 62)])
def test_a_container_without_a_limit_allows_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, limit: int
) -> None:
    path = tmp_path / "memory.max"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(memory, "Path", lambda name: path)
    assert memory._container_limit() == limit
