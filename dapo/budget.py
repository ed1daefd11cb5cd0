"""How long a run is: in steps, in tokens, in hours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """A run ends with the first of its limits that is reached."""

    num_steps: int | None = None
    max_tokens: int | None = None
    """Tokens sampled for training."""
    max_hours: float | None = None
    """Hours at work, over all restarts. It only stops: nothing in a run follows the clock on the wall."""

    def __post_init__(self) -> None:
        limits = {"num_steps": self.num_steps, "max_tokens": self.max_tokens, "max_hours": self.max_hours}
        if all(limit is None for limit in limits.values()):
            raise ValueError("a run needs an end: set num_steps, max_tokens or max_hours")
        for name, limit in limits.items():
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be greater than 0, not {limit}")

    def progress(self, step: float, tokens: int) -> float:
        """Share of the run that lies behind, from 0 to 1: what schedules follow. Hours do not count."""
        shares = [0.0]
        if self.num_steps is not None:
            shares.append(step / self.num_steps)
        if self.max_tokens is not None:
            shares.append(tokens / self.max_tokens)
        return min(1.0, max(shares))

    @property
    def measurable(self) -> bool:
        """Whether `progress` moves: a run that is limited in hours alone cannot have a falling rate."""
        return self.num_steps is not None or self.max_tokens is not None

    def spent(self, step: int, tokens: int, seconds: float, reserve: float) -> bool:
        """Whether the run ends here. `reserve`: seconds that one more step and the end of the run take."""
        if self.max_hours is not None and seconds + reserve > self.max_hours * 3600:
            return True
        return self.progress(step, tokens) >= 1.0

    def seconds_left(self, seconds: float) -> float | None:
        """What is left of a budget in hours after so many seconds; None without one."""
        return None if self.max_hours is None else max(0.0, self.max_hours * 3600 - seconds)
