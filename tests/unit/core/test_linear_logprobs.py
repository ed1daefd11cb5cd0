"""Log-probabilities from hidden states: those of the plain computation, in less memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils._python_dispatch import TorchDispatchMode

from dapo.core.linear_logprobs import Block, linear_logprobs

TOKENS, HIDDEN, VOCABULARY = 11, 5, 23

BLOCKS = {
    "one piece": None,
    "many blocks": Block(4, 7),
    "blocks of one": Block(1, 1),
    "blocks of tokens": Block(3, VOCABULARY),
    "blocks of words": Block(TOKENS, 8),
}
every_block = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, weight, bias (all with gradients) and targets."""
    generator = torch.Generator().manual_seed(3)
    hidden, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((TOKENS, HIDDEN), (VOCABULARY, HIDDEN), (VOCABULARY,))
    )
    return hidden, weight, bias, torch.randint(VOCABULARY, (TOKENS,), generator=generator)


def gradients(outputs: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """Of a sum in which every token and every output weighs differently."""
    total = sum(
        (output.double() * torch.arange(1, len(output) + 1) * factor).sum()
        for output, factor in zip(outputs, (1.0, -0.3), strict=False)
    )
    assert isinstance(total, Tensor)
    return list(torch.autograd.grad(total, tensors))


@every_block
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_a_categorical_distribution(
    block: Block | None, temperature: float, with_bias: bool
) -> None:
    hidden, weight, bias, targets = inputs()
    learned = [hidden, weight, bias] if with_bias else [hidden, weight]
    given = bias if with_bias else None
    logprobs, entropies = linear_logprobs(
        hidden, weight, targets, temperature, bias=given, entropies=True, block=block
    )
    assert entropies is not None
    plain = torch.distributions.Categorical(logits=linear(hidden, weight, given) / temperature)
    expected = [plain.log_prob(targets), plain.entropy()]
    torch.testing.assert_close([logprobs, entropies], expected)
    torch.testing.assert_close(gradients([logprobs, entropies], learned), gradients(expected, learned))


@every_block
def test_gradients_by_finite_differences(block: Block | None) -> None:
    hidden, weight, bias, targets = inputs()

    def call(hidden: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return linear_logprobs(hidden, weight, targets, 0.8, bias=bias, entropies=True, block=block)

    assert torch.autograd.gradcheck(call, (hidden, weight, bias))


@every_block
@pytest.mark.parametrize("output", [0, 1])
def test_each_output_can_be_used_alone(block: Block | None, output: int) -> None:
    hidden, weight, bias, targets = inputs()
    found = linear_logprobs(hidden, weight, targets, 1.0, bias=bias, entropies=True, block=block)[output]
    plain = torch.distributions.Categorical(logits=linear(hidden, weight, bias))
    expected = plain.entropy() if output else plain.log_prob(targets)
    assert found is not None
    learned = [hidden, weight, bias]
    torch.testing.assert_close(gradients([found], learned), gradients([expected], learned))


@every_block
def test_no_entropies_unless_they_are_asked_for(block: Block | None) -> None:
    hidden, weight, _, targets = inputs()
    assert linear_logprobs(hidden, weight, targets, 1.0, block=block)[1] is None


@every_block
def test_what_is_frozen_gets_no_gradient(block: Block | None) -> None:
    hidden, weight, bias, targets = inputs()
    weight.requires_grad_(False)
    logprobs, _ = linear_logprobs(hidden, weight, targets, 1.0, bias=bias, block=block)
    logprobs.sum().backward()
    assert weight.grad is None
    assert hidden.grad is not None
    assert bias.grad is not None


@every_block
def test_no_tokens_at_all(block: Block | None) -> None:
    hidden, weight, _, targets = inputs()
    logprobs, entropies = linear_logprobs(hidden[:0], weight, targets[:0], 1.0, entropies=True, block=block)
    assert entropies is not None
    assert logprobs.shape == entropies.shape == (0,)
    (logprobs.sum() + entropies.sum()).backward()
    assert weight.grad is not None
    assert not weight.grad.any()


@every_block
def test_large_logits(block: Block | None) -> None:
    hidden, weight, bias, targets = inputs(torch.float32)
    logprobs, entropies = linear_logprobs(
        hidden * 1e4, weight, targets, 1.0, bias=bias, entropies=True, block=block
    )
    assert entropies is not None
    assert logprobs.min() < -1e4
    assert logprobs.isfinite().all()
    assert entropies.abs().max() < 0.1
    assert all(g.isfinite().all() for g in gradients([logprobs, entropies], [hidden, weight, bias]))


@every_block
@pytest.mark.parametrize("by", ["hidden states", "autocast"])
def test_bfloat16_products_and_float32_sums(block: Block | None, by: str) -> None:
    """Within the rounding of bfloat16 (8 bits) of the exact values; results and gradients in float32."""
    hidden, weight, bias, targets = inputs(torch.float32)
    region = torch.autocast("cpu", dtype=torch.bfloat16)
    given = hidden.bfloat16() if by == "hidden states" else hidden
    with nullcontext() if by == "hidden states" else region:
        logprobs, _ = linear_logprobs(given, weight, targets, 1.0, bias=bias, block=block)
    assert logprobs.dtype == torch.float32
    found = gradients([logprobs], [hidden, weight, bias])
    assert all(gradient.dtype == torch.float32 for gradient in found)
    exact = linear(hidden, weight, bias).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert 1e-4 < (logprobs - exact).abs().max() < 0.05
    for ours, right in zip(found, gradients([exact], [hidden, weight, bias]), strict=True):
        assert (ours - right).norm() < 0.02 * right.norm()


def test_the_backward_pass_computes_as_the_forward_pass_did() -> None:
    """Even where it runs in an autocast region that the forward pass did not stand in."""
    hidden, weight, _, targets = inputs(torch.float32)
    found = []
    for region in (nullcontext(), torch.autocast("cpu", dtype=torch.bfloat16)):
        logprobs, _ = linear_logprobs(hidden, weight, targets, 1.0, block=Block(4, 7))
        with region:
            found.append(gradients([logprobs], [hidden, weight]))
    torch.testing.assert_close(*found, rtol=0, atol=0)


class Largest(TorchDispatchMode):
    """Records the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


def test_the_logits_are_never_made() -> None:
    """The largest tensor is the weight (or its gradient), far smaller than the logits."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(500, 4, generator=generator, requires_grad=True)
    weight = torch.randn(300, 4, generator=generator, requires_grad=True)
    targets = torch.randint(300, (500,), generator=generator)
    with Largest() as largest:
        logprobs, entropies = linear_logprobs(
            hidden, weight, targets, 1.0, entropies=True, block=Block(32, 32)
        )
        assert entropies is not None
        (logprobs.sum() + entropies.sum()).backward()
    assert largest.numel <= 500 * 10  # the statistics of ten blocks for each token


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "width"), [(98, 85_598, 98), (151_936, 2048, 4096), (1, 1 << 23, 1)]
)
def test_a_block_holds_32_mib(vocabulary: int, tokens: int, width: int) -> None:
    assert Block.for_vocabulary(vocabulary) == Block(tokens, width)


def test_impossible_settings_are_refused() -> None:
    hidden, weight, _, targets = inputs()
    with pytest.raises(ValueError, match="temperature"):
        linear_logprobs(hidden, weight, targets, 0.0)
    with pytest.raises(ValueError, match="at least one token"):
        Block(0, 5)
