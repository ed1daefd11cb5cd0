from __future__ import annotations

import time
from itertools import permutations
from pathlib import Path

import pytest

from dapo.verify.calls import Call, calls_in, matched


def call(name: str, *positional: str, **named: str) -> Call:
    return Call(name, positional, frozenset(named.items()))


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f(a=1)]", [call("f", a="1")]),
        ("f(a=1)", [call("f", a="1")]),
        ("[f(a=1), m.g(b='x')]", [call("f", a="1"), call("m.g", b='"x"')]),
        ("f(a=1)\nf(a=2)", [call("f", a="1"), call("f", a="2")]),
        ("f(a=1), f(a=2)", [call("f", a="1"), call("f", a="2")]),
        ("f(1, -2.5, +3)", [call("f", "1", "-2.5", "3")]),
        (
            "f(a=[1, (2, 'x')], b={'k': [None, True], 2: false})",
            [call("f", a='[1, [2, "x"]]', b='{"2": false, "k": [null, true]}')],
        ),
        ("f(b={'k': [null, True]})", [call("f", b='{"k": [null, true]}')]),
        ("f(a=1.0)", [call("f", a="1")]),
        ('f(a=\'it\\\'s "x"\', b="[g()]")', [call("f", a='"it\'s \\"x\\""', b='"[g()]"')]),
        ("f(a='''x\n'y''')", [call("f", a='"x\\n\'y"')]),
        ("f(a=r'\\d', b='\\d')", [call("f", a='"\\\\d"', b='"\\\\d"')]),
        ("I will call this:\n[f(a=1)]", [call("f", a="1")]),
        ("The call is [f(a=[1])] as asked.", [call("f", a="[1]")]),
        ("```python\n[f(a=1)]\n```", [call("f", a="1")]),
        ('{"name": "f", "arguments": {"a": 1}}', [call("f", a="1")]),
        ('{"name": "f", "parameters": {"a": 1}}', [call("f", a="1")]),
        ('{"name": "f"}', [call("f")]),
        (
            '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"b": "x"}}]',
            [call("f"), call("g", b='"x"')],
        ),
        (
            '{"name": "f", "arguments": {"a": 1}}\n\n{"name": "g", "arguments": {}}',
            [call("f", a="1"), call("g")],
        ),
        ('{"type": "function", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}}', [call("f", a="1")]),
        ('Sure: {"name": "f", "arguments": {"a": [1]}} then.', [call("f", a="[1]")]),
        (
            '<tool_call>\n{"name": "f", "arguments": {"a": "<b>"}}\n</tool_call>\n'
            '<tool_call>{"name": "g"}</tool_call>',
            [call("f", a='"<b>"'), call("g")],
        ),
        ('<tool_call>{"name": "f"}', [call("f")]),
        # No calls.
        ("", []),
        ("[]", []),
        ("None of the tools helps (sorry).", []),
        ("[Note] no tool", []),
        ("[1, 2]", []),
        ('{"answer": 1}', []),
        # Malformed ones.
        ("[f(a=1)", None),
        ("[f(a=g())]", None),
        ("[f(a=x)]", None),
        ("f(a=9**9**9)", None),
        ("f(a=1+1)", None),
        ("f(a=1, a=1)", None),
        ("f(**{'a': 1})", None),
        ("f(*[1])", None),
        ("f(a=f'{x}')", None),
        ("f(a={'k': 1, 'k': 2})", None),
        ("f(a={1, 2})", None),
        ("f(a=b'x')", None),
        ("f(a=lambda: 1)", None),
        ("f()()", None),
        ("f(a='x)", None),
        ("f(a=\0)", None),
        ('{"name": "f", "arguments": {"a": 1}', None),
        ('{"name": "f", "arguments": [1]}', None),
        ("<tool_call>f</tool_call>", None),
        ('<tool_call>{"name": "f"}</tool_call><tool_call>oops</tool_call>', None),
        ('<tool_call>{"name": "f", "name": "g"}</tool_call>', None),
    ],
)
def test_calls_are_read(text: str, calls: list[Call] | None) -> None:
    assert calls_in(text) == calls


def test_nothing_is_evaluated(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for text in (
        f"open('{marker}', 'w')",
        f"[f(a=open('{marker}', 'w'))]",
        f"__import__('os').mkdir('{marker}')",
    ):
        calls_in(text)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "f(" * 50_000,
        "f(a=" + "-" * 9_000 + "1)",
        "f(a=" + "[" * 150 + "]" * 150 + ")",
        "a" + ".b" * 4_900 + "()",
        "f" + "()" * 4_900,
        "f(a=" + "1+" * 4_900 + "1)",
        "f(a=" + "not " * 2_400 + "1)",
        "f(a='" + "\\'" * 50_000,
        "'\"" * 50_000,
        "<tool_call>" * 9_000,
        "<tool_call>" + "<" * 100_000,
        "f(a=" + "9" * 5_000 + ")",
        "f(a='" + "x" * 100_000 + "')",
        "\ud800(",
        '{"name":' * 12_000,
    ],
)
def test_strange_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    calls_in(text)
    assert time.process_time() - began < 2


def test_pairs_are_as_good_as_any_assignment() -> None:
    """Held against all assignments, with the weights of Yuan3.0."""

    def worth(one: Call, other: Call) -> float:
        return 1.0 if one == other else 0.7 if one.name == other.name else 0.2

    calls = [call("f", a="1"), call("f", a="2"), call("g"), call("g", a="1"), call("h")]
    sets = [(0, 0, 1), (0, 1, 2), (1, 1, 3), (2, 3, 4), (0, 2, 2), (4, 0, 1), (3, 3, 3)]
    for found in ([calls[place] for place in places] for places in sets):
        for gold in ([calls[place] for place in places] for places in sets):
            best = max(sum(map(worth, found, order)) for order in permutations(gold))
            equal, same_name, others = matched(found, gold)
            assert equal + 0.7 * same_name + 0.2 * others == pytest.approx(best)
    assert matched(calls[:1], calls[:2]) == (1, 0, 0)
    assert matched([], calls) == (0, 0, 0)
