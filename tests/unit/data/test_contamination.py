from __future__ import annotations

from dapo.data.prepare.contamination import Evaluations, Hit, words_of

TWELVE = "one two three four five six seven eight nine ten eleven twelve"


def evaluations(*texts: str) -> Evaluations:
    found = Evaluations()
    found.add("eval", texts)
    return found


def test_words_are_folded_and_single_characters_in_chinese() -> None:
    assert words_of("Find $x_1$, IF \uff11\uff12 =\\frac{a}{B}!") == [
        "find",
        "x",
        "1",
        "if",
        "12",
        "frac",
        "a",
        "b",
    ]
    assert words_of("求x的值 now") == ["求", "x", "的", "值", "now"]


def test_a_whole_prompt_is_found_with_its_text() -> None:
    hit = evaluations("other words here", TWELVE).find(f"Well: {TWELVE.upper()}, is it?")
    assert hit == Hit("eval", 2, 1.0, TWELVE)


def test_the_share_is_that_of_the_evaluation_prompt() -> None:
    """Twelve words make five 8-grams; words one to nine hold two of them."""
    hit = evaluations(TWELVE).find("one two three four five six seven eight nine, and then another thing")
    assert hit is not None
    assert (hit.share, hit.text) == (2 / 5, "one two three four five six seven eight nine")


def test_seven_words_in_a_row_are_no_hit_and_eight_are() -> None:
    found = evaluations(TWELVE)
    assert found.find("one two three four five six seven") is None
    assert found.find("one two three four five six seven apart eight nine ten") is None
    assert found.find("one two three four five six seven eight") is not None


def test_the_prompt_that_shares_most_is_named() -> None:
    common = "where m and n are relatively prime positive integers find"
    hit = evaluations(f"A long question about circles, {common} m", f"{common} n").find(f"Again {common} n")
    assert hit is not None
    assert (hit.prompt, hit.share) == (2, 1.0)


def test_all_of_a_short_prompt_weighs_more_than_some_of_a_long_one() -> None:
    """The text holds two 8-grams of the long one, and the only one of the short one."""
    long = "one two three four five six seven eight nine and so on and on"
    hit = evaluations(long, "two three four five six seven eight nine").find(
        "one two three four five six seven eight nine then"
    )
    assert hit is not None
    assert (hit.prompt, hit.share) == (2, 1.0)


def test_short_prompts_are_found_only_if_they_are_the_same() -> None:
    found = evaluations("What is 2+2?")
    assert found.find("what is 2 + 2") == Hit("eval", 1, 1.0, "what is 2 2")
    assert found.find("Alice asks: what is 2+2? Bob answers.") is None
    assert found.find("") is None and evaluations("").find("") is None


def test_repeated_evaluation_prompts_count_once() -> None:
    found = Evaluations()
    assert found.add("aime", [TWELVE, TWELVE, TWELVE + " thirteen"]) == 2
