"""What became of every group and token, checked at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SOURCES = ("carried_in", "generated")
FATES = ("trained", "all_right", "all_wrong", "carried_out", "aborted")
_ALL = (*SOURCES, *FATES)


@dataclass
class Account:
    """Distinct groups, and tokens, of a step or of a whole run.

    carried in + generated = trained + all right + all wrong + carried out + aborted

    A group is generated in the step that admits it, a token in the step that draws it. Carried are
    groups that wait for the next step, finished or in flight. Aborted are the tokens of completions
    that were started again.
    """

    groups: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ALL, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ALL, 0))

    def add(self, name: str, groups: int, tokens: int) -> None:
        self.groups[name] += groups
        self.tokens[name] += tokens

    def merge(self, step: Account) -> None:
        """Add a step to the run: what it carried in is what the run had carried out before."""
        for total, part in ((self.groups, step.groups), (self.tokens, step.tokens)):
            for name in _ALL:
                total[name] += part[name]
            total["carried_out"] -= part["carried_in"]
            total["carried_in"] = 0

    def check(self) -> None:
        """Raises AssertionError where the sides differ: something was lost or counted twice."""
        for unit, counts in (("groups", self.groups), ("tokens", self.tokens)):
            if sum(counts[name] for name in SOURCES) != sum(counts[name] for name in FATES):
                raise AssertionError(f"the sampling account does not balance in {unit}: {counts}")

    def metrics(self) -> dict[str, float]:
        by_group = {f"sampling/{name}": float(self.groups[name]) for name in _ALL}
        by_token = {f"sampling/{name}_tokens": float(self.tokens[name]) for name in _ALL}
        return {**by_group, **by_token}

    def state(self) -> dict[str, dict[str, int]]:
        return {"groups": dict(self.groups), "tokens": dict(self.tokens)}

    @staticmethod
    def from_state(state: Mapping[str, Mapping[str, int]]) -> Account:
        return Account(dict(state["groups"]), dict(state["tokens"]))
