"""Rows of several kinds: a column of each row says which reward grades it."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, ClassVar

from dapo.errors import UserError
from dapo.rewards import (
    choice,
    code,
    countdown,
    exact,
    format,
    grounding,
    instructions,
    json_match,
    knowledge,
    language,
    math,
    math_dapo,
    number,
    qa_f1,
    repetition,
    sql,
    summary,
    table_set,
    tool_calls,
)
from dapo.rewards.judge import Reward as Judge
from dapo.rewards.reflection import AnswerReward
from dapo.rewards.reflection import Reward as Reflected
from dapo.types import Example
from dapo.verify.endpoint import Endpoint
from dapo.verify.golds import column
from dapo.verify.reflections import Variant
from dapo.verify.yuan import REFLECTED, reflected

Entry = partial[Any]
"""A reward's class and its settings; for `judge` all but the endpoint."""

_WITHOUT_SETTINGS = (
    *(choice, code, countdown, exact, grounding, instructions, json_match, knowledge),
    *(math, math_dapo, number, qa_f1, sql, summary, table_set, tool_calls),
)

_TASKS: Mapping[str, Entry] = {
    **{module.Reward.name: partial(module.Reward) for module in _WITHOUT_SETTINGS},
    "judge": partial(Judge),
    "aime*": partial(math_dapo.Reward),
    "arithmetic": partial(number.Reward, require_marker=True),
    "dapo_math": partial(math_dapo.Reward),
    "gsm8k": partial(number.Reward),
    "gsm8k_calculator": partial(number.Reward, require_marker=True),
    "math500": partial(math.Reward),
    "multiple_choice": partial(choice.Reward, letters=string.ascii_uppercase, options="options"),
    "rag_qa": partial(qa_f1.Reward, marker="Answer:"),
}
"""The tasks of this package that a row may come from, and the rewards that do without settings."""

_YUAN: Mapping[str, Entry] = {
    "llm_math": partial(math.Reward),
    "llm_choice": partial(choice.Reward),
    "llm_code": partial(code.Reward, block="yuan"),
    "llm_tool_reward": partial(tool_calls.Reward, yuan_reward=True, one_to_one=False),
    "llm_general": partial(Judge, preset="yuan_general"),
    "sql_bird": partial(sql.Reward, block="first", rows="set"),
    "sql_spider": partial(sql.Reward, block="first", any_column_order=True),
    "mllm_normal": partial(math.Reward),
    "mllm_choice": partial(choice.Reward, max_distance=0.3),
    "mllm_knowledge": partial(knowledge.Reward),
    "mllm_grounding": partial(grounding.Reward),
    "mllm_general*": partial(Judge, preset="yuan_general"),
    "rag_chatqa": partial(qa_f1.Reward, rule="chatqa"),
    "rag_mrag": partial(qa_f1.Reward, rule="mrag"),
    "rag_mrag_bench": partial(choice.Reward, find="last_letter", letters="ABCD"),
    "rag_mmtab": partial(table_set.Reward, yuan_reward=True),
    "rag_mmtab/fetaqa": partial(summary.Reward, weights={"bleu": 1.0}),
    "rag_summary": partial(summary.Reward),
    "rag_ifeval": partial(instructions.Reward),
    "rag_frames": partial(Judge, preset="yuan_frames"),
    "rag_alpaca": partial(Judge, preset="yuan_alpaca"),
    "rag_simpleqa": partial(Judge, preset="simpleqa"),
}
"""Yuan3.0's reward methods (arXiv 2601.01718); `METHOD/SOURCE` holds for rows of that `data_source`."""

_VERL: Mapping[str, Entry] = {
    "openai/gsm8k": partial(number.Reward),
    "math_dapo": partial(math_dapo.Reward),
    "math": partial(math_dapo.Reward),
    "math_dapo_reasoning": partial(math_dapo.Reward),
    "dapo-17k": partial(math_dapo.Reward),
    "aime*": partial(math_dapo.Reward),
    "lighteval/MATH": partial(math.Reward),
    "DigitalLearningGmbH/MATH-lighteval": partial(math.Reward),
    "HuggingFaceH4/MATH-500": partial(math.Reward),
    "numina_*": partial(math.Reward),
    "hiyouga/geometry3k": partial(math.Reward),
    "codecontests": partial(code.Reward, score="share"),
    "apps": partial(code.Reward, score="share"),
    "codeforces": partial(code.Reward, score="share"),
    "taco": partial(code.Reward, score="share"),
    "searchR1_*": partial(qa_f1.Reward, rule="exact", marker="<answer>"),
    "unknown": partial(exact.Reward),
}
"""The data sources that verl's default scorer knows; `unknown` is what `dapo data prepare` writes for rows
that name none. verl gives code the share of the tests it passes."""

TABLE: Mapping[str, Mapping[str, Entry]] = MappingProxyType(
    {"task": _TASKS, "reward_method": _YUAN, "data_source": _VERL}
)
"""By column and value: what grades a row. `name*` stands for all values that begin so; case is ignored."""


def _yuan_side() -> tuple[AnswerReward, ...]:
    return (
        format.Reward(pattern="think", forbidden=("<|Assistant|>",)),
        language.Reward(rule="yuan"),
        repetition.Reward(),
    )


@dataclass(frozen=True)
class Reflection:
    """How the reward `reflection` is set where rows of Yuan3.0 take it."""

    variant: Variant = "paper"
    judge: Endpoint | None = None
    """The model that marks where the answer stands in the thoughts. None: a rule does."""
    side: Sequence[AnswerReward] = field(default_factory=_yuan_side)
    """What else has to hold in text: by default Yuan3.0's format, language and repetition. In rows of images
    nothing has to."""


@dataclass(frozen=True)
class Reward:
    """The reward that the row's `task` stands for; without one its `reward_method`, as in Yuan3.0's data;
    without one its `data_source`, as in verl's. Rows without any of these get `exact`: the text after
    `Answer:`.

    `TABLE` says which value stands for which reward. Called with an example alone, it returns the reward that
    grades it. The first of the columns that has a value decides. Raises UserError for a value that nothing
    stands for: verl does too, and a guess would grade all of its rows wrong. So it does for rows that only a
    judge can grade if there is no `judge`.
    """

    name: ClassVar[str] = "mixed"

    rewards: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Rewards for further values, or in the place of the table's: `{my_source: {name: math}}`."""
    default: Callable[..., Any] | None = None
    """For rows with a value that nothing stands for, and for those without any."""
    columns: tuple[str, ...] = tuple(TABLE)
    """Which columns choose, the first one with a value. They may stand inside `extra_info`."""
    judge: Judge | None = None
    """Grades the rows that need a judge, each kind with its own preset: `{endpoint: {urls: [...], model:
    ...}}`."""
    reflection: bool | Reflection = True
    """Whether the rows with thoughts of Yuan3.0's llm_math, llm_choice, mllm_normal and mllm_choice take the
    reward `reflection`, and how it is set."""

    @property
    def costly(self) -> bool:
        """With a judge some verdicts ask a service."""
        return self.judge is not None

    def __call__(self, example: Example) -> Callable[..., Any]:
        for name in self.columns:
            value = column(example, name)
            if value not in (None, ""):
                return self._for(name, str(value), example)
        return self._made(("", ""), lambda: self.default or exact.Reward())

    def _for(self, name: str, value: str, example: Example) -> Callable[..., Any]:
        """What grades a row that has this value in this column."""
        source = str(column(example, "data_source"))
        found = self._known.get((name, value, source)) or self._look_up(name, value, source)
        self._known[name, value, source] = found
        if name == "reward_method" and self.reflection is not False and reflected(example):
            return self._made((value, "reflected"), lambda: self._reflecting(self._build(found), value))
        return self._made((name, found.key), lambda: self._build(found))

    def _look_up(self, name: str, value: str, source: str) -> _Found:
        key = _matching(self.rewards, value, source)
        if key is not None:
            return _Found(key, self.rewards[key])
        table = TABLE.get(name, {})
        key = _matching(table, value, source)
        if key is not None:
            return _Found(key, table[key], listed=True)
        if self.default is not None:
            return _Found("", self.default)
        known = [*self.rewards, *table]
        near = get_close_matches(value, known, n=1)
        raise UserError(
            f"no reward is known for {name} {value!r}"
            + (f"; the nearest is {near[0]!r}" if near else "")
            + f". Name one, as in reward: {{name: mixed, rewards: {{{value}: {{name: math}}}}}}, or one for "
            "all that are not known, as in default: exact; or say with `columns` which columns choose"
        )

    def _build(self, found: _Found) -> Callable[..., Any]:
        if not found.listed or found.reward.func is not Judge:
            made: Callable[..., Any] = found.reward() if found.listed else found.reward
            return made
        if self.judge is None:
            raise UserError(
                f"rows of {found.key!r} are graded by a judge, and none is named: set judge, as in reward: "
                "{name: mixed, judge: {endpoint: {urls: [http://localhost:8000/v1], model: NAME}}}, or "
                f"another reward for them, as in rewards: {{{found.key}: {{name: exact}}}}"
            )
        return replace(self.judge, **found.reward.keywords)

    def _reflecting(self, answer: AnswerReward, method: str) -> Reflected:
        settings = Reflection() if isinstance(self.reflection, bool) else self.reflection
        side = tuple(settings.side) if REFLECTED[method] else ()
        try:
            return Reflected(answer, side, settings.variant, settings.judge)
        except ValueError as error:
            raise UserError(f"rows of {method!r} with thoughts: {error}; or set reflection: false") from error

    @cached_property
    def _known(self) -> dict[tuple[str, str, str], _Found]:
        """What was looked up: a column and its value, and the source."""
        return {}

    @cached_property
    def _parts(self) -> dict[tuple[str, str], Callable[..., Any]]:
        """What was built, so that rows of one kind get the very same reward."""
        return {}

    def _made(self, kind: tuple[str, str], make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        if kind not in self._parts:
            self._parts[kind] = make()
        return self._parts[kind]


@dataclass(frozen=True)
class _Found:
    """A reward that a recipe gave, or an entry of a table."""

    key: str
    reward: Any
    listed: bool = False
    """Whether it is an entry, which has to be built."""


def _matching(table: Mapping[str, Any], value: str, source: str) -> str | None:
    """The key that stands for a value: with this source, by itself, or the longest `name*` it begins with."""
    keys = {key.casefold(): key for key in table}
    value = value.casefold()
    begun = [key for key in keys if key.endswith("*") and value.startswith(key[:-1])]
    wanted = (f"{value}/{source.casefold()}", value, max(begun, key=len, default=""))
    return next((keys[key] for key in wanted if key in keys), None)
