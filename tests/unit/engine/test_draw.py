"""Drawing a token: the distribution, its truncations, and the log-probability that is reported."""

from __future__ import annotations

import pytest
import torch

from dapo.engine.draw import BLOCK, draw, invert, truncate
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


ALMOST_ONE = 1 - 2.0**-52


def distributions(vocabulary: int) -> torch.Tensor:
    """Flat, steep, in one token, in few tokens of few blocks, without its beginning, without its end."""
    source = torch.Generator().manual_seed(0)
    noise = torch.randn(3, vocabulary, generator=source)
    steep = (noise[:2] * torch.tensor([[1.0], [8.0]])).softmax(-1)
    one, few = torch.zeros(2, vocabulary)
    one[vocabulary // 2] = 1
    few[[0, vocabulary // 3, vocabulary // 2, -1]] = torch.tensor([1e-7, 0.3, 0.7, 1e-30])
    late, early = noise[2].softmax(-1).repeat(2, 1)
    late[: vocabulary // 3] = 0
    early[2 * vocabulary // 3 :] = 0
    return torch.stack([*steep, one, few, late / late.sum(), early / early.sum()])


@pytest.mark.parametrize("vocabulary", [5, 2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK, 5_000, 151_936])
def test_large_vocabularies_are_inverted_like_small_ones(vocabulary: int) -> None:
    """The token is that at which the cumulative sum, in double precision, passes the uniform number; at
    most its neighbour where that lies within the rounding of float32 sums."""
    source = torch.Generator().manual_seed(1)
    for row in distributions(vocabulary):
        uniform = torch.rand(300, generator=source, dtype=torch.float64)
        tokens = invert(row.expand(300, -1), uniform)
        cumulative = row.double().cumsum(-1)
        threshold = uniform * cumulative[-1]
        above = cumulative[tokens]
        assert (row[tokens] > 0).all()
        assert (threshold <= above + 1e-6).all()
        assert (threshold >= above - row[tokens].double() - 1e-6).all()
        plain = torch.searchsorted(cumulative, threshold, right=True)
        assert (plain == tokens).float().mean() > 0.97


@pytest.mark.parametrize("vocabulary", [5, 4 * BLOCK, 5_000, 151_936])
def test_no_token_without_probability_is_drawn_at_the_ends_of_the_unit_interval(vocabulary: int) -> None:
    for row in distributions(vocabulary):
        uniform = torch.tensor([0.0, 2.0**-52, 1e-12, 0.5, 1 - 1e-12, ALMOST_ONE], dtype=torch.float64)
        tokens = invert(row.expand(len(uniform), -1), uniform)
        assert (tokens < vocabulary).all()
        assert (row[tokens] > 0).all()
        support = row.nonzero()[:, 0]
        assert tokens[0] == support[0]
        # A float32 sum of a block hides tokens of less than 1e-7 behind the last large one.
        assert row[tokens[-1] + 1 :].sum() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_number_that_falls_between_the_sums_of_a_block_stays_in_it(dtype: torch.dtype) -> None:
    """All mass in one block that sums up otherwise in float32 than in double precision."""
    probabilities = torch.zeros(64, 5_000)
    probabilities[:, BLOCK : BLOCK + 100] = torch.rand(64, 100, generator=torch.Generator().manual_seed(2))
    probabilities /= probabilities.sum(-1, keepdim=True)
    uniform = torch.full((64,), 1 - 2.0**-23, dtype=dtype)
    tokens = invert(probabilities, uniform)
    assert ((tokens >= BLOCK) & (tokens < BLOCK + 100)).all()
    assert invert(probabilities, 0 * uniform).tolist() == [BLOCK] * 64


def test_tokens_of_a_large_vocabulary_come_as_often_as_they_should() -> None:
    probabilities = (2 * torch.randn(5_000, generator=torch.Generator().manual_seed(3))).softmax(-1)
    count = 50_000
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    tokens = torch.cat([invert(probabilities.expand(len(part), -1), part) for part in uniform.split(2_000)])
    found = torch.bincount(tokens, minlength=5_000).double()
    # In 50 classes of neighbours, and in those tokens of which 50 and more are expected.
    often = probabilities > 50 / count
    for observed, share in (
        (found.unflatten(0, (50, 100)).sum(-1), probabilities.double().unflatten(0, (50, 100)).sum(-1)),
        (found[often], probabilities[often].double()),
    ):
        chi_square = float(((observed - count * share) ** 2 / (count * share)).sum())
        freedom = len(observed)
        # The 99.9 % point is near freedom + 3.1 standard deviations, and these are sqrt(2 freedom).
        assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_a_large_vocabulary_reports_the_logprobs_of_what_it_draws(temperature: float) -> None:
    logits = 3 * torch.randn(4, 5_000, generator=torch.Generator().manual_seed(5)).bfloat16()
    uniform = torch.tensor([0.1, 0.5, 0.9, ALMOST_ONE], dtype=torch.float64)
    tokens, logprobs = draw(logits, uniform, SamplingParams(temperature=temperature))
    expected = (logits.double() / temperature).log_softmax(-1)[torch.arange(4), tokens]
    assert logprobs == pytest.approx(expected.float(), abs=1e-5)
