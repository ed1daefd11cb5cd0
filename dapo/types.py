"""The project's words as data. Everything here is plain, picklable and lives on the CPU.

The stages a completion passes through have a type each:

    Example -> Prompt -> Group (of Completions) -> GradedGroup (of Rollouts) -> Samples

An `Example` is a row of a task, a `Prompt` is that row as token ids. The sampler answers a prompt
with a `Group`. Grading turns it into a `GradedGroup`, whose rollouts the learner sees as `Sample`s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Message = Mapping[str, Any]
"""One chat turn, `{"role": ..., "content": ...}`."""

FinishReason = Literal["eos", "stop", "repetition", "length"]
"""Why a completion ended: an end-of-sequence token, a stop string, a loop, or the limit on its length."""

Verdict = Literal["signal", "all_right", "all_wrong"]
"""What a group's scores say: they differ, or they are equal and right, or equal and wrong."""

Purpose = Literal["train", "eval"]
"""What a completion is sampled for. The noise of its tokens depends on it."""


@dataclass(frozen=True)
class Example:
    """One row of a task: what is asked, and the answer that grading compares with."""

    id: str
    messages: Sequence[Message]
    answer: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Everything else the row held. Rewards may read it."""


@dataclass(frozen=True)
class Prompt:
    """An example as the model reads it, handed out by a stream of prompts."""

    example: Example
    token_ids: Sequence[int]
    max_completion_tokens: int
    visit: int = 0
    """How often the stream had handed out this example before."""
    number: int = 0
    """Place in the order of admission, over the whole run."""
    expected_completion_tokens: float | None = None
    """How long a completion is expected to become, where the row says it."""


@dataclass
class Completion:
    """What the sampler wrote after a prompt. All lists have one entry per token."""

    token_ids: list[int]
    sampler_logprobs: list[float]
    """Log-probability of each token under the distribution it was drawn from (temperature applied)."""
    policy_versions: list[int]
    """Version of the policy each token was drawn from: the number of `sync`s before it."""
    trainable: list[bool]
    """False for tokens a tool or an environment wrote: they are read, never trained."""
    finish_reason: FinishReason | None
    """None while the completion is still being written."""
    text: str
    """Empty while it is being written."""

    @property
    def truncated(self) -> bool:
        """True if the completion ended only because it reached its limit."""
        return self.finish_reason == "length"

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class Score:
    """The verdict of a reward on one completion."""

    score: float
    """Right or wrong as 1 or 0, or graded in between. Dynamic sampling reads this."""
    reward: float | None = None
    """What a reward wants the advantage to see instead of the scaled score."""
    answer: str | None = None
    """The answer found in the completion, as text; None where none was found."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Shaping terms by name, to be added to the reward."""
    error: str | None = None
    """Why the completion could not be graded, where it could not."""
    part_errors: Mapping[str, str] = field(default_factory=dict)
    """Why a shaping term could not be had, by its name. It is 0 then, and the verdict stands."""


@dataclass
class Group:
    """The completions of one prompt, as the sampler hands them over: finished, or still in flight."""

    prompt: Prompt
    completions: list[Completion]

    @property
    def finished(self) -> bool:
        """True once every completion has ended."""
        return all(completion.finish_reason is not None for completion in self.completions)

    @property
    def tokens(self) -> int:
        """Number of tokens written so far."""
        return sum(len(completion) for completion in self.completions)

    @property
    def policy_versions(self) -> list[int]:
        """The policies its tokens were drawn from, oldest first; empty while it has no token."""
        return sorted({version for c in self.completions for version in c.policy_versions})


Admission = Prompt | Group
"""What a sampler takes: a prompt to answer, or a group that was handed back in flight, to go on with."""


@dataclass
class Rollout:
    """A graded completion. `reward` is the scaled score plus all shaping."""

    completion: Completion
    score: Score
    reward: float


@dataclass
class GradedGroup:
    """The rollouts of one prompt, and what dynamic sampling makes of them."""

    prompt: Prompt
    rollouts: list[Rollout]
    verdict: Verdict | None = None
    """Whether the group carries a signal."""
    kept: bool = True
    """Whether it is, or will be, trained."""

    @property
    def policy_versions(self) -> list[int]:
        """The policies its tokens were drawn from, oldest first."""
        return sorted(
            {version for rollout in self.rollouts for version in rollout.completion.policy_versions}
        )

    @property
    def scores(self) -> list[float]:
        return [rollout.score.score for rollout in self.rollouts]

    @property
    def tokens(self) -> int:
        """Number of tokens the sampler wrote for this group."""
        return sum(len(rollout.completion) for rollout in self.rollouts)


def _no_values() -> Tensor:
    import torch  # Here, as those who only grade never make a sample: their processes start in a tenth.

    return torch.empty(0)


def _no_versions() -> Tensor:
    return _no_values().long()


def _no_flags() -> Tensor:
    return _no_values().bool()


@dataclass
class Sample:
    """One rollout as a training row. Tensors have shape [T], one entry per completion token.

    `annotate` fills in the log-probabilities and entropies it is asked for, the trainer the rest.
    """

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    loss_mask: Tensor
    """Bool: tokens that enter the loss. Tokens of tools and of filtered completions do not."""
    sampler_logprobs: Tensor
    policy_versions: Tensor = field(default_factory=_no_versions)
    """Int: the policy each token was drawn from. Empty for demonstrations, which none wrote."""
    advantage: float = 0.0
    old_logprobs: Tensor = field(default_factory=_no_values)
    old_is_borrowed: bool = False
    """True where `old_logprobs` are those of an exact sampler, and the learner has not computed its own."""
    entropies: Tensor = field(default_factory=_no_values)
    """Empty unless the algorithm reads them."""
    ref_logprobs: Tensor = field(default_factory=_no_values)
    """Empty unless a KL penalty is on."""
    weights: Tensor = field(default_factory=_no_values)
    """Factor on each token's loss: the importance correction times the entropy mask."""
    counted: Tensor = field(default_factory=_no_flags)
    """Bool: tokens that count in the denominators. A subset of `loss_mask`."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together: what a forward pass has to read."""
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True)
class RepetitionStop:
    """Ends a completion that goes round in a loop (Yuan3.0 Flash, arXiv 2601.01718).

    Whenever it has grown by `every` tokens, all its n-grams of `ngram` tokens are counted, overlapping ones
    too; it ends if one of them stands there `times` times.
    """

    every: int = 1024
    ngram: int = 200
    times: int = 10

    def __post_init__(self) -> None:
        if self.every < 1 or self.ngram < 1:
            raise ValueError("every and ngram are lengths in tokens: at least 1 (Yuan3.0 has 1024 and 200)")
        if self.times < 2:
            raise ValueError("times must be at least 2 (Yuan3.0 has 10): every n-gram stands there once")


@dataclass(frozen=True)
class SamplingParams:
    """How completions are drawn. Temperature first, then top-k, top-p and min-p as in vLLM."""

    completions_per_prompt: int = 1
    temperature: float = 1.0
    """0 means greedy decoding."""
    top_p: float = 1.0
    top_k: int = 0
    """0 means no limit."""
    min_p: float = 0.0
    stop: Sequence[str] = ()
    """Strings that end a completion. The text that held one is kept up to and including it."""
    repetition: RepetitionStop | None = None
    """Ends completions that go round in a loop."""
    seed: int = 0
    purpose: Purpose = "train"

    def __post_init__(self) -> None:
        if self.completions_per_prompt < 1:
            raise ValueError("completions_per_prompt must be at least 1")
        if self.temperature < 0:
            raise ValueError("temperature must be at least 0 (0 is greedy decoding)")
        if not 0 < self.top_p <= 1:
            raise ValueError("top_p must lie in (0, 1]; 1 switches it off")
        if self.top_k < 0:
            raise ValueError("top_k must be at least 0; 0 switches it off")
        if not 0 <= self.min_p < 1:
            raise ValueError("min_p must lie in [0, 1); 0 switches it off")
        if any(not stop for stop in self.stop):
            raise ValueError("stop strings must not be empty")
