from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import pytest
import torch

from dapo.run.state import FORMAT, StateError, load_state, save_state


def test_tensors_and_values_come_back_to_the_bit(tmp_path: Path) -> None:
    tensors = {
        "weights/a.b": torch.tensor([[0.1, float("nan")], [float("inf"), -0.0]], dtype=torch.bfloat16),
        "rng": torch.get_rng_state(),
        "mask": torch.tensor([True, False]),
        "step": torch.tensor(3.0),
        "none": torch.empty(0, 5),
    }
    values = {
        "step": 12,
        "lr": 0.1 + 0.2,
        "seed": 2**127 + 1,
        "ids": ["a", "ü"],
        "best": math.inf,
        "nested": {"x": {"y": None, "z": [1, True]}},
    }
    save_state(tmp_path / "trainer", tensors, values)
    loaded, read = load_state(tmp_path / "trainer")
    assert read == values
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0, equal_nan=True)


def test_tensors_that_share_memory_are_saved_apart(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4).requires_grad_()
    tensors = {"row": whole[1], "rows": whole[:2], "transposed": whole.t()}
    save_state(tmp_path, tensors, {})
    loaded, _ = load_state(tmp_path)
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)


def test_no_file_is_a_pickle(tmp_path: Path) -> None:
    save_state(tmp_path, {"a": torch.ones(2)}, {"b": 1})
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["tensors.safetensors", "values.json"]
    for name in files:
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads((tmp_path / name).read_bytes())


def test_another_format_number_is_refused_with_both_numbers(tmp_path: Path) -> None:
    save_state(tmp_path, {}, {"b": 1})
    (tmp_path / "values.json").write_text(json.dumps({"format": FORMAT + 6, "values": {}}))
    with pytest.raises(StateError, match=rf"format {FORMAT + 6}.*reads {FORMAT}; resume with the version"):
        load_state(tmp_path)


@pytest.mark.parametrize("name", ["values.json", "tensors.safetensors"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    save_state(tmp_path, {"a": torch.ones(100)}, {"b": list(range(100))})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StateError, match=rf"{name} is damaged .*older checkpoint"):
        load_state(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StateError, match=f"{name} is missing"):
        load_state(tmp_path)


def test_json_that_is_no_state_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "values.json").write_text("[1, 2]")
    with pytest.raises(StateError, match="damaged"):
        load_state(tmp_path)


def test_keys_that_json_would_change_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"values\['optimizer'\]\[1\] has the key 0"):
        save_state(tmp_path / "trainer", {}, {"optimizer": [{}, {0: "a"}]})
    with pytest.raises(TypeError, match="Path"):
        save_state(tmp_path / "trainer", {}, {"path": tmp_path})
    assert not (tmp_path / "trainer").exists()
