"""Which column chooses, what its values stand for, and the golds of every kind under their own rewards."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest

from dapo.errors import UserError
from dapo.grading.adapt import as_reward
from dapo.rewards import (
    choice,
    code,
    exact,
    format,
    judge,
    language,
    math,
    math_dapo,
    number,
    qa_f1,
    reflection,
    repetition,
    sql,
    summary,
    table_set,
    tool_calls,
)
from dapo.rewards.mixed import TABLE, Reflection, Reward
from dapo.tasks import (
    aime,
    aime24,
    aime25,
    arithmetic,
    countdown,
    dapo_math,
    file,
    gsm8k,
    gsm8k_calculator,
    math500,
    multiple_choice,
    rag_qa,
)
from dapo.types import Completion, Example, Score
from dapo.verify.endpoint import Endpoint

ENDPOINT = Endpoint(("http://127.0.0.1:9/v1",), "m")


def row(answer: str = "5", **columns: Any) -> Example:
    return Example("row-7", [{"role": "user", "content": "?"}], answer, columns)


def yuan(method: str, thinking: bool | None = None, **columns: Any) -> Example:
    """A row as Yuan3.0's preparation writes it."""
    return row(reward_method=method, extra_info={"enable_thinking_flag": thinking}, **columns)


def score(text: str, example: Example, reward: Reward | None = None) -> Score:
    return as_reward(reward or Reward())(Completion([], [], [], [], "eos", text), example)


# --- which column chooses


def test_the_task_goes_before_the_method_and_the_method_before_the_source() -> None:
    columns = {"task": "code", "reward_method": "llm_math", "data_source": "openai/gsm8k"}
    for kind in (code, math, number):
        assert Reward()(row(**columns)) == kind.Reward()
        columns.pop(next(iter(columns)))
    assert Reward()(row(**columns)) == exact.Reward()


def test_empty_columns_choose_nothing_and_columns_may_stand_inside_others() -> None:
    example = row(task=None, reward_method="", extra_info={"data_source": "math_dapo"})
    assert Reward()(example) == math_dapo.Reward()
    by_kind = Reward(columns=("kind",), rewards={"x": number.Reward()})
    assert by_kind(row(task="?", kind="x")) == number.Reward()


@pytest.mark.parametrize(
    ("source", "text", "right"),
    [
        ("math_dapo", "Answer: $5$", 1.0),
        ("DAPO-17k", "Answer: $5$", 1.0),
        ("aime2024", "Answer: $5$", 1.0),
        ("aime_2024", "5", 0.0),
        ("openai/gsm8k", "so it is 5.0", 1.0),
        ("lighteval/math", "\\boxed{\\frac{10}{2}}", 1.0),
        ("numina_olympiads", "\\boxed{\\frac{10}{2}}", 1.0),
        ("searchR1_nq", "<think>4</think> <answer>\nThe 5.\n</answer> or 6", 1.0),
        ("searchR1_nq", "<answer>5 or 6</answer>", 0.0),
        ("unknown", "Answer: $5$", 0.0),
        (None, "Answer: $5$", 0.0),
        (None, "Answer: 5", 1.0),
    ],
)
def test_verl_s_sources(source: str | None, text: str, right: float) -> None:
    assert score(text, row(data_source=source)).score == right


@pytest.mark.parametrize(
    ("example", "reward"),
    [
        (yuan("llm_math"), math.Reward()),
        (yuan("llm_choice", thinking=False), choice.Reward()),
        (yuan("llm_code", thinking=True), code.Reward(block="yuan")),
        (yuan("llm_tool_reward"), tool_calls.Reward(yuan_reward=True, one_to_one=False)),
        (yuan("sql_bird", thinking=True), sql.Reward(block="first", rows="set")),
        (yuan("sql_spider"), sql.Reward(block="first", any_column_order=True)),
        (yuan("mllm_choice"), choice.Reward(max_distance=0.3)),
        (yuan("rag_chatqa", data_source="coqa"), qa_f1.Reward(rule="chatqa")),
        (yuan("rag_mrag_bench"), choice.Reward(find="last_letter", letters="ABCD")),
        (yuan("rag_mmtab", data_source="tabfact"), table_set.Reward(yuan_reward=True)),
        (yuan("rag_mmtab", data_source="FeTaQA"), summary.Reward(weights={"bleu": 1.0})),
        (yuan("rag_summary", data_source="fetaqa"), summary.Reward()),
    ],
)
def test_yuan_s_methods(example: Example, reward: Any) -> None:
    assert Reward()(example) == reward


def test_every_method_of_the_released_code_stands_for_a_reward() -> None:
    """Those of section 4.2 of its reward function, `reward_score_yuan`."""
    methods = (
        "llm_math llm_choice llm_code llm_tool_reward sql_bird sql_spider mllm_normal mllm_choice "
        "mllm_knowledge mllm_grounding llm_general mllm_general1 mllm_general2 rag_chatqa rag_mrag "
        "rag_mrag_bench rag_mmtab rag_summary rag_ifeval rag_frames rag_alpaca rag_simpleqa"
    )
    reward = Reward(judge=judge.Reward(ENDPOINT))
    assert all(callable(reward(yuan(method, thinking))) for method in methods.split() for thinking in (0, 1))


def test_all_entries_can_be_built() -> None:
    for entries in TABLE.values():
        for value, entry in entries.items():
            needed = {"endpoint": ENDPOINT} if entry.func is judge.Reward else {}
            assert as_reward(entry(**needed)), value


def test_rows_that_say_their_task_are_graded_as_the_task_does() -> None:
    tasks = {
        "aime": aime.Task(),
        "aime24": aime24.Task(),
        "aime25": aime25.Task(),
        "arithmetic": arithmetic.Task(),
        "countdown": countdown.Task(),
        "dapo_math": dapo_math.Task(),
        "gsm8k": gsm8k.Task(),
        "gsm8k_calculator": gsm8k_calculator.Task(),
        "math500": math500.Task(),
        "multiple_choice": multiple_choice.Task(),
        "rag_qa": rag_qa.Task(passages="x", questions="y"),
    }
    for name, task in tasks.items():
        assert Reward()(row(task=name)) == task.reward, name


# --- what a recipe may change


def test_entries_can_be_added_and_replaced() -> None:
    mine, other = number.Reward(window=9), number.Reward(window=8)
    reward = Reward(rewards={"llm_math": mine, "own_*": other, "own_math": mine, "Own/x": math.Reward()})
    assert reward(yuan("llm_math")) is mine and reward(row(data_source="LLM_MATH")) is mine
    assert reward(row(data_source="own_science")) is other and reward(row(data_source="own_math")) is mine
    assert reward(row(task="own/X")) == math.Reward()
    assert reward(yuan("llm_choice")) == choice.Reward()
    given = partial(_starts_with, "so")
    assert Reward(rewards={"x": given})(row(task="x")) is given


def _starts_with(start: str, completion: Completion, example: Example) -> bool:
    return completion.text.startswith(start)


def test_an_unknown_value_is_an_error_unless_there_is_a_default() -> None:
    message = "no reward is known for reward_method 'llm_maths'; the nearest is 'llm_math'. Name one, as in "
    with pytest.raises(UserError, match=re.escape(message)):
        Reward()(yuan("llm_maths", data_source="math_dapo"))
    with pytest.raises(UserError, match=r"data_source 'mine'.*default: exact"):
        Reward()(row(data_source="mine"))
    default = number.Reward()
    assert Reward(default=default)(row(data_source="mine")) is default is Reward(default=default)(row())


def test_the_same_kind_of_row_gets_the_same_object() -> None:
    reward = Reward(judge=judge.Reward(ENDPOINT))
    for examples in (
        [yuan("llm_math"), yuan("llm_math", thinking=False)],
        [yuan("llm_math", thinking=True)] * 2,
        [yuan("mllm_general1"), yuan("mllm_general2")],
        [row(data_source="aime24"), row(data_source="aime25")],
        [row()] * 2,
    ):
        one, other = map(reward, examples)
        assert one is other


# --- judges


def test_rows_that_need_a_judge_name_the_setting_that_is_missing() -> None:
    for method in ("llm_general", "mllm_general2", "rag_frames"):
        with pytest.raises(UserError, match="graded by a judge, and none is named: set judge, as in"):
            Reward()(yuan(method))


def test_each_kind_has_its_preset_and_the_judge_s_own_settings() -> None:
    given = judge.Reward(ENDPOINT, read="number", longest=500)
    presets = {
        "llm_general": "yuan_general",
        "mllm_general2": "yuan_general",
        "rag_frames": "yuan_frames",
        "rag_alpaca": "yuan_alpaca",
        "rag_simpleqa": "simpleqa",
    }
    for method, preset in presets.items():
        found = Reward(judge=given)(yuan(method))
        assert isinstance(found, judge.Reward) and found.preset == preset
        assert (found.endpoint, found.read, found.longest) == (ENDPOINT, "number", 500)


# --- thoughts


def test_rows_with_thoughts_take_the_reflection_reward_around_their_own() -> None:
    side = (format.Reward(forbidden=("<|Assistant|>",)), language.Reward(rule="yuan"), repetition.Reward())
    reward = Reward()
    assert reward(yuan("llm_choice", thinking=True)) == reflection.Reward(choice.Reward(), side)
    assert reward(yuan("mllm_normal", thinking=True)) == reflection.Reward(math.Reward())
    flat = row(reward_method="llm_math", enable_thinking_flag=True)
    assert reward(flat) == reflection.Reward(math.Reward(), side)


@pytest.mark.parametrize("thinking", [False, None])
def test_no_flag_no_reflection(thinking: bool | None) -> None:
    assert Reward()(yuan("llm_math", thinking)) == math.Reward()
    assert Reward()(row(data_source="math", enable_thinking_flag=True)) == math_dapo.Reward()


def test_reflection_can_be_set_and_switched_off() -> None:
    thoughtful = yuan("llm_math", thinking=True)
    assert Reward(reflection=False)(thoughtful) == math.Reward()
    settings = Reflection(variant="code", judge=ENDPOINT, side=(repetition.Reward(),))
    expected = reflection.Reward(number.Reward(), (repetition.Reward(),), "code", ENDPOINT)
    assert Reward({"llm_math": number.Reward()}, reflection=settings)(thoughtful) == expected
    whole_group = Reward({"llm_math": judge.Reward(ENDPOINT)})
    with pytest.raises(UserError, match=r"rows of 'llm_math' with thoughts: answer must judge one.*false"):
        whole_group(thoughtful)


def test_a_group_with_thoughts_is_graded_by_both() -> None:
    """Right at once: 1 + 1 + 1. Right without thoughts that find it: -1 - 1 - 1, and -1 as no `</think>` says
    that there were any."""
    completions = [
        Completion([], [], [], [], "eos", text)
        for text in (
            "So the answer to this is 5.\n</think>\\boxed{5}",
            "So the answer to this is 5.\n</think>\\boxed{10/2}",
            "It is 6.\n</think>\\boxed{6}",
        )
    ]
    reward = as_reward(Reward()).of(yuan("llm_math", thinking=True))
    found = [reward.verdict(outcome) for outcome in reward.outcomes(completions, yuan("llm_math", True))]
    assert [one.score for one in found] == [1.0, 1.0, 0.0]
    assert [one.reward for one in found] == [3.0, 3.0, -3.0]


# --- golds under their own rewards

ADD = "def add(a, b):\n    return a + b"
GOLDS = [
    row("New\n York"),
    row("\\frac{1}{2}", reward_method="llm_math", enable_thinking_flag=True),
    row("B", reward_method="llm_choice"),
    row("Paris", task="multiple_choice", options=["Rome", "Paris"]),
    row("C", reward_method="rag_mrag_bench"),
    row(json.dumps(["assert add(1, 2) == 3"]), reward_method="llm_code", extra_info={"solution": ADD}),
    row(json.dumps(["assert add(1, 2) == 3"]), task="code", solutions=json.dumps([ADD, "pass"])),
    row('[f(a=1), g(b="x")]', reward_method="llm_tool_reward"),
    row("[]", reward_method="llm_tool_reward"),
    row("SELECT b FROM t", reward_method="sql_bird", schema="CREATE TABLE t (b);"),
    row("Eiffel Tower", reward_method="mllm_knowledge"),
    row("<obj>cat</obj><box>[1, 2, 3, 4]</box>", reward_method="mllm_grounding"),
    row("the red house", reward_method="rag_chatqa", data_source="coqa"),
    row("ignored", reward_method="rag_chatqa", data_source="coqa", answers=["the red house", "red"]),
    row("ignored", reward_method="rag_chatqa", data_source="coqa", answers=[]),
    row("A", reward_method="rag_mrag"),
    row("Paris", data_source="searchR1_nq"),
    row('["Paris", "the city of light"]', data_source="searchR1_hotpotqa"),
    row('{"answer": ["1,200", "b"]}', reward_method="rag_mmtab"),
    row('["1,200", "b"]', reward_method="rag_mmtab"),
    row("a cat sat on the mat", reward_method="rag_summary"),
    row("a cat sat on the mat", reward_method="rag_mmtab", data_source="fetaqa"),
    row('{"a": [1]}', task="json_match"),
    row("-7", data_source="math_dapo"),
]


@pytest.mark.parametrize("example", GOLDS, ids=lambda example: str(dict(example.columns))[:40])
def test_a_gold_answer_is_right_in_the_form_its_reward_reads(example: Example) -> None:
    task = file.Task(path="x.jsonl")
    assert score(task.gold_completion(example), example).score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (row('["assert f(1)"]', task="code"), "row-7 has tests but no program that passes them"),
        (row(reward_method="rag_ifeval"), "row-7: no single text is right"),
    ],
)
def test_rows_without_a_gold(example: Example, message: str) -> None:
    with pytest.raises(UserError, match=message):
        file.Task(path="x.jsonl").gold_completion(example)
