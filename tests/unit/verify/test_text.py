from __future__ import annotations

from fractions import Fraction

import pytest

from dapo.verify.text import as_number, edit_distance, exact_match, normalise, token_f1, tokens


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat, sat!", "cat sat"),
        ("an apple a day", "apple day"),
        ("U.S. well-known", "us wellknown"),
        ("Theatre", "theatre"),
        ("\N{LEFT DOUBLE QUOTATION MARK}Zürich\N{RIGHT DOUBLE QUOTATION MARK}\N{EN DASH}", "zürich"),
        ("\uff21\uff22\u3000\uff11\uff12", "ab 12"),
        ("Cafe\N{COMBINING ACUTE ACCENT}", "café"),
        ("北京。", "北京"),
    ],
)
def test_normalisation(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("text", "normal"), [("A", "a"), ("The", "the"), ("?!", "?!"), ("A.", "a"), (" \n", "")]
)
def test_only_a_blank_text_becomes_empty(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_tokens_are_words_and_cjk_characters() -> None:
    assert tokens("The 42 cats") == ["42", "cats"]
    assert tokens("在北京2008年") == ["在", "北", "京", "2008", "年"]
    assert tokens("東京タワー") == ["東", "京", "タ", "ワ", "ー"]
    assert tokens("서울 abc") == ["서", "울", "abc"]


@pytest.mark.parametrize(
    ("prediction", "gold", "f1"),
    [
        ("the Denver Broncos", "Denver Broncos", 1.0),
        # 1 of 2 tokens found, 1 of 1 wanted: 2 * 1 / (2 + 1)
        ("Denver Broncos", "Broncos", 2 / 3),
        # Twice the same word is one match: 2 * 1 / (2 + 1)
        ("no no", "no", 2 / 3),
        ("yes", "no", 0.0),
        ("", "no", 0.0),
        ("yes", "", 0.0),
        (" ", "", 1.0),
        # An article alone is a word, not an empty answer.
        ("", "The", 0.0),
        # 2 of 3 characters: 2 * 2 / (3 + 2)
        ("北京市", "北京", 0.8),
    ],
)
def test_token_f1(prediction: str, gold: str, f1: float) -> None:
    assert token_f1(prediction, gold) == pytest.approx(f1, abs=1e-12)


def test_exact_match() -> None:
    assert exact_match("The Broncos.", "broncos")
    assert not exact_match("Denver Broncos", "broncos")
    assert not exact_match("", "a")


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("kitten", "sitting", 3 / 7), ("a", "a", 0.0), ("", "", 0.0), ("ab", "", 1.0), ("ab", "cd", 1.0)],
)
def test_edit_distance(one: str, other: str, distance: float) -> None:
    assert edit_distance(one, other) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", Fraction(1234)),
        (" -5.50 ", Fraction(-11, 2)),
        ("\N{MINUS SIGN}5", Fraction(-5)),
        ("$1,000.00", Fraction(1000)),
        ("50%", Fraction(50)),
        (".5", Fraction(1, 2)),
        ("\uff11\uff12", Fraction(12)),
        ("3 4", None),
        ("12,34", None),
        ("9**9", None),
        ("1e9", None),
        ("$", None),
        ("", None),
        ("٣", None),
        ("9" * 5000, None),
    ],
)
def test_numbers(text: str, number: Fraction | None) -> None:
    assert as_number(text) == number


@pytest.mark.parametrize("text", ["\0", "\ud800", "\ufdfa" * 1000, "a " * 50_000, "," * 100_000])
def test_strange_texts_are_compared_without_an_error(text: str) -> None:
    assert token_f1(text, text) == 1
    assert token_f1(text, "gold") == 0
    assert as_number(text) is None
