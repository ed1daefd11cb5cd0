"""From a score to a reward: scaling, and additions that need no text."""

from __future__ import annotations

from dataclasses import dataclass, replace


def signed(score: float) -> float:
    """A score in [0, 1] as a reward in [-1, 1] (DAPO, arXiv 2503.14476, Eq. 7)."""
    return 2.0 * score - 1.0


@dataclass(frozen=True)
class SoftOverlong:
    """Soft overlong punishment (DAPO, arXiv 2503.14476, Eq. 13), times `factor`.

    0 up to max_tokens - cache_tokens, then falling in a straight line to -factor at max_tokens. Beyond
    that it stays there with `floor`, and falls on without, as in verl and ms-swift.
    """

    max_tokens: int | None = None
    """Length in tokens at which the punishment is full. None: the limit on completions."""
    cache_tokens: int | None = None
    """Length in tokens of the way down. None: a fifth of max_tokens, as 4096 of 20480 in the paper."""
    factor: float = 1.0
    floor: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1; None is the limit on completions")
        if self.cache_tokens is not None and self.cache_tokens < 1:
            raise ValueError("cache_tokens must be at least 1; None is a fifth of max_tokens")
        if (
            self.max_tokens is not None
            and self.cache_tokens is not None
            and self.cache_tokens > self.max_tokens
        ):
            raise ValueError(
                f"cache_tokens ({self.cache_tokens}) must not exceed max_tokens ({self.max_tokens}): "
                "the punishment would start below a length of 0"
            )
        if self.factor <= 0:
            raise ValueError("factor must be positive; leave soft_overlong out to switch it off")

    def resolved(self, max_completion_tokens: int) -> SoftOverlong:
        """With None filled in. Raises ValueError if no completion could ever be punished."""
        max_tokens = self.max_tokens or max_completion_tokens
        cache_tokens = self.cache_tokens or max(1, max_tokens // 5)
        if max_tokens - cache_tokens >= max_completion_tokens:
            raise ValueError(
                f"soft_overlong would never act: it starts beyond {max_tokens - cache_tokens} tokens, but "
                f"completions end at {max_completion_tokens}; lower max_tokens or raise cache_tokens"
            )
        return replace(self, max_tokens=max_tokens, cache_tokens=cache_tokens)

    def scaled(self, share: float) -> SoftOverlong:
        """For completions that end at `share` of the limit: every length shrinks with it."""
        if self.max_tokens is None or self.cache_tokens is None or share == 1:
            return self
        cache_tokens = max(1, round(self.cache_tokens * share))
        return replace(self, max_tokens=max(1, round(self.max_tokens * share)), cache_tokens=cache_tokens)

    def __call__(self, length: int) -> float:
        """The term to add to the reward of a completion of `length` tokens."""
        if self.max_tokens is None or self.cache_tokens is None:
            raise ValueError(
                "max_tokens or cache_tokens is not set: call resolved(max_completion_tokens) first"
            )
        excess = length - (self.max_tokens - self.cache_tokens)
        share = max(excess / self.cache_tokens, 0.0)
        return -self.factor * (min(share, 1.0) if self.floor else share)
