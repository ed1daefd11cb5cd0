from __future__ import annotations

from fractions import Fraction

import pytest

from dapo.verify.numbers import find_numbers, read_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", "42"),
        ("-7", "-7"),
        ("+7", "7"),
        ("- 7", "-7"),
        ("007", "7"),
        ("1,234,567", "1234567"),
        ("1,234.5", "2469/2"),
        (".5", "1/2"),
        ("5.", "5"),
        ("$-5", "-5"),
        ("-$5", "-5"),
        ("€ 5", "5"),
        ("3/4", "3/4"),
        ("-6/8", "-3/4"),
        ("0.5/2", "1/4"),
        (r"\frac{3}{4}", "3/4"),
        (r"-\frac{3}{4}", "-3/4"),
        (r"\frac{-3}{4}", "-3/4"),
        (r"-\frac{-3}{4}", "3/4"),
        (r"\frac{1.5}{2}", "3/4"),
        (r"2\frac{1}{2}", "5/2"),
        (r"-2\frac{1}{2}", "-5/2"),
        ("2 1/2", "5/2"),
        (r"1.5 \times 10^{3}", "1500"),
        (r"1.5\cdot10^{-3}", "3/2000"),
        ("1.5e3", "1500"),
        ("2E-2", "1/50"),
        ("2^{10}", "1024"),
        ("2^-2", "1/4"),
        ("28%", "28"),
        ("28.5 %", "57/2"),
    ],
)
def test_a_number_is_read_exactly(text: str, value: str) -> None:
    number = read_number(text)
    assert number is not None
    assert (number.value, str(number)) == (Fraction(value), value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "-",
            ".",
            "x",
            "1x",
            "x1",
            "1 2",
            "1,23",
            "1,2345",
            "12,34",
            "1.2.3",
            "1/0",
            r"\frac{1}{0}",
            "0^{-1}",
        ),
        *(r"2\frac{3}{2}", "2 3/2", "2 1/0", "1e", "--1", "1/2/3", "NaN", "inf", "1_000", "٣", "²", "½"),
    ],
)
def test_what_is_no_number_is_not_read(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    "text", ["9" * 401, "1e401", "1e-401", "1e9999", r"1 \times 10^{9999}", "9^{999}", "999999^{-99}"]
)
def test_what_would_be_huge_is_not_read(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("0.5", "1/2", True),
        ("28%", "28", True),
        ("28%", "0.28", True),
        ("0.28", "28", False),
        ("28%", "2.8", False),
        ("0.333333", "1/3", True),
        ("0.33333", "1/3", False),
        ("0.666667", "2/3", True),
        ("0.666666", "2/3", True),
        ("0.666665", "2/3", False),
        ("2.314814814815e-3", "1/432", True),
        ("0.000003", "1/300001", False),
        # One half has a decimal of its own: what only comes near is another number.
        ("0.5000001", "1/2", False),
        ("5.001", "5", False),
        ("33.333333%", "1/3", True),
    ],
)
def test_which_numbers_are_equal(one: str, other: str, equal: bool) -> None:
    first, second = read_number(one), read_number(other)
    assert first is not None and second is not None
    assert first.equals(second) is second.equals(first) is equal


def test_numbers_are_found_in_prose() -> None:
    assert find_numbers("She pays $1,080 for 3 of 1/4; 7-2 is 5") == [1080, 3, Fraction(1, 4), 7, 2, 5]
