from __future__ import annotations

import time

import pytest

from dapo.data.prepare.repair import repair


@pytest.mark.parametrize(
    ("damaged", "whole"),
    [
        ("in the form \frac{m}{n}, where", r"in the form \frac{m}{n}, where"),
        ("x\frac12", r"x\frac12"),
        ("$2 \times 3$", r"$2 \times 3$"),
        ("2\times 3, no dollars", r"2\times 3, no dollars"),
        ("$a_1,\text{...},a_n$", r"$a_1,\text{...},a_n$"),
        ("area\text{ of} a square, no dollars", r"area\text{ of} a square, no dollars"),
        ("\triangle ABC", r"\triangle ABC"),
        ("$\beta$ and \begin{array}", r"$\beta$ and \begin{array}"),
        ("\\left( x \right)", r"\left( x \right)"),
        ("f: A \rightarrow B", r"f: A \rightarrow B"),
        ("angle \nabla ABD", r"angle \nabla ABD"),
        ("a \neq b", r"a \neq b"),
        ("\vec{v}, \alpha", r"\vec{v}, \alpha"),
        ("$x \to \tan y$", r"$x \to \tan y$"),
        (r"\[ x " + "\to" + r" 0 \]", r"\[ x \to 0 \]"),
    ],
)
def test_a_command_is_put_back(damaged: str, whole: str) -> None:
    found = repair(damaged)
    assert (found.text, found.left) == (whole, ())
    assert found.commands


@pytest.mark.parametrize(
    "text",
    [
        "a\tan apple",
        "for (i)\n\tfor (j)\n\t\tdot(i, j);",
        "extension:\text = 3",
        "one line\nequals another\nneq is no command here",
        "Windows\r\nline ends\r\nright here",
        "\n\nabout",
        "de\fne and \frst, the ligatures of PDF files: \first, \fracture",
        "plain",
        "",
    ],
)
def test_what_makes_no_command_stays(text: str) -> None:
    found = repair(text)
    assert (found.text, found.commands) == (text, ())


def test_other_control_characters_are_reported_and_left() -> None:
    found = repair("de\x0cne \x14\\le\x88 ok\ttab\r\nline\rold line")
    assert found.left == ("U+000C", "U+0014", "U+0088", "U+000D")
    assert "\x0cne" in found.text


def test_commands_are_named_in_order() -> None:
    assert repair("\frac{\beta}{2} \times \frac34").commands == ("\\frac", "\\beta", "\\times", "\\frac")


def test_an_escaped_dollar_opens_no_formula() -> None:
    assert repair("\\$5 and\tan apple for \\$6").commands == ()


@pytest.mark.parametrize(
    "hostile", ["\f" * 200_000, "$\tan" * 50_000, "\\[" * 100_000, "\t" * 200_000, "$$" * 99_999]
)
def test_the_time_grows_with_the_length_only(hostile: str) -> None:
    start = time.perf_counter()
    repair(hostile)
    assert time.perf_counter() - start < 3
