"""The 25 verifiable instructions of IFEval (Zhou et al., arXiv 2311.07911, Table 1).

Ids and keyword arguments are those of the public data. Each check is a function of the response and of
the keyword arguments it needs. Nothing is downloaded: sentences are counted by a rule and languages told
by script and common words, where the paper's code has trained models.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from dapo.verify.sentences import count_sentences
from dapo.verify.tongues import is_in

_WORD = re.compile(r"\w+")
_HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")
_PARAGRAPH_BREAK = re.compile(r"\s?\*\*\*\s?")
_POSTSCRIPTS = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
_CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_JSON_FENCES = ("```json", "```Json", "```JSON", "```")


def _compare(actual: float, relation: str, wanted: float) -> bool:
    if relation == "less than":
        return actual < wanted
    if relation == "at least":
        return actual >= wanted
    raise ValueError(f"the relation {relation!r} is neither 'less than' nor 'at least'")


def _keywords(text: str, keywords: list[str]) -> bool:
    return all(keyword.lower() in text.lower() for keyword in keywords)


def _keyword_frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return _compare(text.lower().count(keyword.lower()), relation, frequency)


def _forbidden_words(text: str, forbidden_words: list[str]) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words if word
    )


def _letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _compare(text.lower().count(letter.lower()), let_relation, let_frequency)


def _response_language(text: str, language: str) -> bool:
    return is_in(text, language)


def _number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    return _compare(count_sentences(text), relation, num_sentences)


def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    paragraphs = [paragraph.strip() for paragraph in _PARAGRAPH_BREAK.split(text)]
    inner = paragraphs[1:-1]
    return all(inner) and sum(map(bool, paragraphs)) == num_paragraphs


def _number_words(text: str, num_words: int, relation: str) -> bool:
    return _compare(len(_WORD.findall(text)), relation, num_words)


def _nth_paragraph_first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    paragraphs = text.split("\n\n")
    if sum(map(bool, map(str.strip, paragraphs))) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    opening = paragraphs[int(nth_paragraph) - 1].split(maxsplit=1)
    word = re.split(r"[.,?!'\"]", opening[0].lstrip("'\""), maxsplit=1)[0] if opening else ""
    return word.lower() == first_word.lower()


def _number_placeholders(text: str, num_placeholders: int) -> bool:
    return sum(_brackets(line) for line in text.split("\n")) >= num_placeholders


def _brackets(line: str) -> int:
    """How many `[...]` stand in a line, each from the first `[` that is left to the next `]`."""
    count, position = 0, 0
    while (start := line.find("[", position)) >= 0 and (end := line.find("]", start)) >= 0:
        count, position = count + 1, end + 1
    return count


def _postscript(text: str, postscript_marker: str) -> bool:
    pattern = _POSTSCRIPTS.get(postscript_marker, re.escape(postscript_marker.lower()))
    return re.search(pattern, text.lower()) is not None


def _number_bullet_lists(text: str, num_bullets: int) -> bool:
    lines = [line.lstrip() for line in text.split("\n")]
    stars = sum(line.startswith("*") and line[1:2] not in ("", "*") for line in lines)
    return stars + sum(line.startswith("-") for line in lines) == num_bullets


def _constrained_response(text: str) -> bool:
    return any(answer in text for answer in _CONSTRAINED)


def _number_highlighted_sections(text: str, num_highlights: int) -> bool:
    found = [*_HIGHLIGHT.findall(text), *_DOUBLE_HIGHLIGHT.findall(text)]
    return sum(bool(highlight.strip("*").strip()) for highlight in found) >= num_highlights


def _multiple_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    heads = re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", text)
    return len(heads) >= num_sections


def _json_format(text: str) -> bool:
    text = text.strip()
    fence = next((fence for fence in _JSON_FENCES if text.startswith(fence)), "")
    try:
        json.loads(text.removeprefix(fence).removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str) -> bool:
    return any(_has_title(line) for line in text.split("\n"))


def _has_title(line: str) -> bool:
    start, end = line.find("<<"), line.rfind(">>")
    return 0 <= start < end and bool(line[start:end].lstrip("<").rstrip(">").strip())


def _two_responses(text: str) -> bool:
    responses = [response.strip() for response in text.split("******")]
    said = [response for response in responses if response]
    return all(responses[1:-1]) and len(said) == 2 and said[0] != said[1]


def _repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _end_checker(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _quotation(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _capital_word_frequency(text: str, capital_frequency: int, capital_relation: str) -> bool:
    return _compare(sum(map(str.isupper, text.split())), capital_relation, capital_frequency)


def _english_capital(text: str) -> bool:
    return text.isupper() and is_in(text, "en")


def _english_lowercase(text: str) -> bool:
    return text.islower() and is_in(text, "en")


def _no_comma(text: str) -> bool:
    return "," not in text


CHECKS: Mapping[str, Callable[..., bool]] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _response_language,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_words": _number_words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
    "detectable_content:number_placeholders": _number_placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _number_bullet_lists,
    "detectable_format:constrained_response": _constrained_response,
    "detectable_format:number_highlighted_sections": _number_highlighted_sections,
    "detectable_format:multiple_sections": _multiple_sections,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end_checker,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_word_frequency,
    "change_case:english_capital": _english_capital,
    "change_case:english_lowercase": _english_lowercase,
    "punctuation:no_comma": _no_comma,
}
"""The check of each instruction, by its id."""


def follows(text: str, instruction: str, arguments: Mapping[str, Any], loose: bool = False) -> bool:
    """Whether a response follows an instruction. A blank one follows none.

    `arguments` may hold None for what belongs to other instructions, as rows of one schema do. `loose`
    accepts it if one of eight readings does: with or without its asterisks, its first line and its last.

    Raises:
        ValueError: for an unknown instruction, or one without its arguments.
    """
    if instruction not in CHECKS:
        raise ValueError(f"the instruction {instruction!r} is unknown; known are {', '.join(CHECKS)}")
    check = CHECKS[instruction]
    names = list(inspect.signature(check).parameters)[1:]
    given = {name: arguments[name] for name in names if arguments.get(name) is not None}
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"the instruction {instruction!r} has no {missing[0]!r} in its kwargs")
    readings = _readings(text) if loose else [text]
    return any(bool(reading.strip()) and check(reading, **given) for reading in readings)


def _readings(text: str) -> list[str]:
    lines = text.split("\n")
    parts = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return parts + [part.replace("*", "") for part in parts]
