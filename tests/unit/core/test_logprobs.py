"""Log-probabilities and entropies from logits: values, gradients, chunks and memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dapo.core.logprobs import token_logprobs

VOCABULARY = 13


def sample(rows: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(rows, VOCABULARY, generator=generator, dtype=torch.float64) * 3
    return logits.to(dtype), torch.randint(VOCABULARY, (rows,), generator=generator)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_values(temperature: float) -> None:
    logits, targets = sample(7)
    logprobs, entropies = token_logprobs(logits, targets, temperature)
    distribution = torch.distributions.Categorical(logits=logits / temperature)
    torch.testing.assert_close(logprobs, distribution.log_prob(targets))
    torch.testing.assert_close(entropies, distribution.entropy())


def test_shapes_follow_the_targets() -> None:
    logits, targets = sample(6)
    logprobs, entropies = token_logprobs(logits.view(2, 3, -1), targets.view(2, 3), 1.0)
    assert logprobs.shape == entropies.shape == (2, 3)
    flat, _ = token_logprobs(logits, targets, 1.0)
    assert torch.equal(logprobs.flatten(), flat)


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows: int) -> None:
    logits, targets = sample(rows)
    logits.requires_grad_()
    logprobs, entropies = token_logprobs(logits, targets, 1.0)
    (logprobs.sum() + entropies.sum()).backward()
    assert logprobs.shape == (rows,)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_chunk_never_changes_a_bit(dtype: torch.dtype) -> None:
    results = []
    for chunk in (None, 1, 3, 10, 99):
        logits, targets = sample(10, dtype)
        logits.requires_grad_()
        logprobs, entropies = token_logprobs(logits, targets, 0.7, chunk)
        (logprobs * torch.arange(10) + entropies * 0.3).sum().backward()
        results.append((logprobs, entropies, logits.grad))
        assert logprobs.dtype == entropies.dtype == torch.float32
        assert logits.grad is not None
        assert logits.grad.dtype == dtype
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))  # type: ignore[arg-type]


def test_gradients_by_finite_differences() -> None:
    logits, targets = sample(4, torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: token_logprobs(x, targets, 0.8, 3), (logits,))


@pytest.mark.parametrize("output", [0, 1])
def test_each_output_can_be_used_alone(output: int) -> None:
    logits, targets = sample(4, torch.float64)
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    token_logprobs(mine, targets, 0.8)[output].sum().backward()
    reference = torch.distributions.Categorical(logits=theirs / 0.8)
    (reference.log_prob(targets) if output == 0 else reference.entropy()).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


def test_unused_outputs_leave_no_gradient() -> None:
    logits, targets = sample(2)
    logits.requires_grad_()
    logprobs, _ = token_logprobs(logits, targets, 1.0)
    assert torch.autograd.grad(logprobs.sum() * 0 + logits.sum(), logits)[0].isfinite().all()


def test_impossible_tokens_and_large_logits() -> None:
    logits = torch.tensor([[1e4, -1e4, -torch.inf], [0.0, 0.0, -torch.inf]], requires_grad=True)
    logprobs, entropies = token_logprobs(logits, torch.tensor([0, 1]), 1.0)
    assert logprobs.tolist() == pytest.approx([0.0, -0.6931472])
    assert entropies.tolist() == pytest.approx([0.0, 0.6931472])
    (logprobs.sum() + entropies.sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 2].tolist() == [0.0, 0.0]


class LargestFloat32(TorchDispatchMode):
    """Records the largest float32 tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dtype == torch.float32:
            self.numel = max(self.numel, result.numel())
        return result


def test_no_float32_copy_of_all_logits_is_ever_made() -> None:
    logits, targets = sample(200, torch.bfloat16)
    logits.requires_grad_()
    with LargestFloat32() as forward:
        logprobs, entropies = token_logprobs(logits, targets, 1.0, chunk_rows=16)
    assert forward.numel == 16 * VOCABULARY
    with LargestFloat32() as backward:
        (logprobs.sum() + entropies.sum()).backward()
    assert backward.numel == 16 * VOCABULARY


@pytest.mark.parametrize(("values", "message"), [((0.0, None), "temperature"), ((1.0, 0), "chunk_rows")])
def test_impossible_settings_are_refused(values: tuple[float, int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        token_logprobs(*sample(2), *values)
