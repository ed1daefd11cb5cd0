"""Models that cannot be loaded say why and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dapo.errors import UserError
from dapo.model import (
    ModelSettings,
    check_context,
    load_codec,
    load_model,
    precision_note,
    resolve_device,
)


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.path: the directory .* does not exist"):
        load_codec(ModelSettings(str(tmp_path / "nothing")))


def test_a_directory_that_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        load_model(ModelSettings(str(tmp_path)))


def test_a_model_without_a_tokenizer(copy: Path) -> None:
    for path in copy.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UserError, match=r"no tokenizer could be loaded .* tokenizer\.save_pretrained"):
        load_codec(ModelSettings(str(copy), template="plain"))


def test_a_base_without_a_template(copy: Path) -> None:
    with pytest.raises(UserError, match=r"model\.template"):
        load_codec(ModelSettings(str(copy)))


def test_weights_that_are_missing(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"config\.json and weights as \*\.safetensors"):
        load_model(ModelSettings(str(copy)))


def test_weights_that_would_execute_code_are_not_loaded(copy: Path) -> None:
    import torch

    torch.save({}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="safetensors"):
        load_model(ModelSettings(str(copy)))


def test_more_tokens_than_the_model_has_positions(tiny_model: Path) -> None:
    check_context(ModelSettings(str(tiny_model)), 256)
    with pytest.raises(UserError, match=r"= 257 exceeds the 256 positions"):
        check_context(ModelSettings(str(tiny_model)), 257)


def test_nothing_is_dropped_out(copy: Path) -> None:
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"attention_dropout": 0.0', '"attention_dropout": 0.5'))
    assert '"attention_dropout": 0.5' in (copy / "config.json").read_text()
    model = load_model(ModelSettings(str(copy)))
    assert all(getattr(module, "attention_dropout", 0.0) == 0.0 for module in model.modules())


def test_the_device_is_taken_as_named() -> None:
    assert resolve_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("instructions", "slow"), [({"avx512_f": True, "avx512_bf16": False}, True), ({"amx_bf16": True}, False)]
)
def test_bfloat16_that_a_cpu_has_to_emulate_is_said(
    instructions: dict[str, bool], slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: instructions)
    note = precision_note("bfloat16", torch.device("cpu"))
    assert (note is not None) == slow
    assert note is None or "slower than float32" in note
    assert precision_note("float32", torch.device("cpu")) is None
    assert precision_note("bfloat16", torch.device("cuda")) is None
