"""Drawing a token: the distribution, its truncations, and the log-probability that is reported."""

from __future__ import annotations

import pytest
import torch

from dapo.engine.draw import draw, truncate
from dapo.types import SamplingParams

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, -2.0]])


def drawn(params: SamplingParams, number: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens at evenly spread uniforms, and the log-probability of each token of the vocabulary."""
    uniform = (torch.arange(number, dtype=torch.float64) + 0.5) / number
    tokens, logprobs = draw(LOGITS.expand(number, -1), uniform, params)
    table = torch.full((5,), float("-inf"))
    table[tokens] = logprobs
    return tokens, table


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_tokens_follow_the_softmax_at_the_temperature(temperature: float) -> None:
    tokens, logprobs = drawn(SamplingParams(temperature=temperature))
    expected = (LOGITS[0] / temperature).softmax(-1)
    assert torch.bincount(tokens, minlength=5) / len(tokens) == pytest.approx(expected, abs=1e-4)
    assert logprobs.exp() == pytest.approx(expected, rel=1e-5)


def test_greedy_takes_the_largest_whatever_the_noise() -> None:
    tokens, logprobs = drawn(SamplingParams(temperature=0))
    assert tokens.unique().tolist() == [0]
    assert logprobs[0] == pytest.approx(float(LOGITS[0].log_softmax(-1)[0]))


@pytest.mark.parametrize(
    ("params", "support"),
    [
        (SamplingParams(top_k=2), [0, 1]),
        (SamplingParams(top_k=9), [0, 1, 2, 3, 4]),
        (SamplingParams(top_p=0.6), [0]),
        (SamplingParams(top_p=0.7), [0, 1]),
        (SamplingParams(top_p=0.9), [0, 1, 2]),
        (SamplingParams(min_p=0.3), [0, 1]),
        (SamplingParams(top_k=3, min_p=0.3), [0, 1]),
    ],
)
def test_truncation_keeps_the_support_and_renormalises(params: SamplingParams, support: list[int]) -> None:
    tokens, logprobs = drawn(params)
    expected = torch.zeros(5)
    expected[support] = LOGITS[0][support].softmax(-1)
    assert tokens.unique().tolist() == support
    assert torch.bincount(tokens, minlength=5) / len(tokens) == pytest.approx(expected, abs=1e-4)
    assert logprobs.exp() == pytest.approx(expected, rel=1e-5)


def test_the_ends_of_the_unit_interval_stay_inside_the_support() -> None:
    params = SamplingParams(top_k=1)
    uniform = torch.tensor([0.0, 1 - 2.0**-52], dtype=torch.float64)
    tokens, _ = draw(torch.tensor([[0.0, 5.0, 1.0]]).expand(2, -1), uniform, params)
    assert tokens.tolist() == [1, 1]


def test_truncation_that_is_off_changes_nothing() -> None:
    assert truncate(LOGITS, SamplingParams()) is LOGITS
