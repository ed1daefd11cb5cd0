from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dapo.data.expressions import text_of, value_of

NUMBERS = st.one_of(
    st.integers(0, 10**6).map(lambda number: (str(number), Fraction(number))),
    st.decimals(0, 100, places=2).map(lambda number: (str(number), Fraction(number))),
)

Pair = tuple[str, Fraction | None]


def combine(left: Pair, sign: str, right: Pair, blanks: str) -> Pair:
    """An expression in full parentheses and its value, None if something is divided by zero."""
    text = f"({left[0]}{blanks}{sign}{blanks}{right[0]})"
    if left[1] is None or right[1] is None or (sign == "/" and right[1] == 0):
        return text, None
    return text, {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
    }[sign](left[1], right[1])


PARENTHESISED = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.builds(combine, inner, st.sampled_from("+-*/"), inner, st.sampled_from(["", " "])),
        inner.map(lambda pair: (f"-{pair[0]}", None if pair[1] is None else -pair[1])),
    ),
    max_leaves=12,
)


@given(PARENTHESISED)
def test_parenthesised_expressions_have_their_value(pair: Pair) -> None:
    text, value = pair
    if value is None:
        with pytest.raises(ValueError, match="division by zero"):
            value_of(text)
    else:
        assert value_of(text) == value


@given(st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 99)), max_size=8), st.integers(-9, 99))
def test_precedence_is_the_usual_one(tail: list[tuple[str, int]], first: int) -> None:
    text = str(first) + "".join(f"{sign}{number}" for sign, number in tail)
    terms, factors = Fraction(0), Fraction(first)
    for sign, number in tail:
        if sign in "*/":
            factors = factors * number if sign == "*" else factors / number
        else:
            terms, factors = terms + factors, Fraction(number if sign == "+" else -number)
    assert value_of(text) == terms + factors


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("48/2", "24"),
        ("2+3*4", "14"),
        ("(2+3)*4", "20"),
        ("8/4/2", "1"),
        ("8-4-2", "2"),
        ("2*-3", "-6"),
        ("2--3", "5"),
        ("-2*3", "-6"),
        ("2/-3*4", "-8/3"),
        ("0.2*50", "10"),
        (".5+5.", "5.5"),
        ("2/3", "2/3"),
        (" ( 1 ) ", "1"),
        ("0.1+0.2", "0.3"),
    ],
)
def test_values(text: str, value: str) -> None:
    assert value_of(text) == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1+", "*1", "1 2", "(1", "1)", "()", "1()", "(1)(2)", "560//10", "2**3", "1..2", "."),
        *("x", "__import__('os')", "1;2", "1e5", "10%3", "\N{ARABIC-INDIC DIGIT THREE}", "1\0"),
    ],
)
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="arithmetic"):
        value_of(text)


@given(st.text(alphabet="0123456789.+-*/() x", max_size=30))
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    try:
        assert isinstance(value_of(text), Fraction)
    except ValueError as error:
        assert str(error)


def test_depth_costs_no_recursion_and_length_is_bounded() -> None:
    assert value_of("(" * 400 + "7" + ")" * 400) == 7
    assert value_of("-" * 400 + "7") == 7
    with pytest.raises(ValueError, match="at most 1000 characters, not 1001"):
        value_of("1" * 1001)


@given(st.fractions(max_denominator=10**4))
def test_texts_of_values_read_back(value: Fraction) -> None:
    assert value_of(text_of(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [("24", "24"), ("1/5", "0.2"), ("-5/4", "-1.25"), ("1/3", "1/3"), ("-1/80", "-0.0125"), ("0", "0")],
)
def test_texts_of_values(value: str, text: str) -> None:
    assert text_of(Fraction(value)) == text
