"""Where the thoughts of a completion state the correct answer: found by rule, or by a judging model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz

from dapo.verify.endpoint import Endpoint, EndpointError
from dapo.verify.reflections import Trace
from dapo.verify.rubrics import fill

_LINE = 20
"""Non-blank characters that a line has at least; shorter ones are joined with the next."""
_WHOLE, _PIECE, _SMALL = 1400, 1000, 2000
"""Characters up to which thoughts stay whole; of a piece; and below which they become two halves."""
_LONG_QUOTE, _QUOTE_END, _LIKE_ENOUGH = 50, 40, 65

_GOES_ON = (",", ":", "+", "(", "[", "{")
_OPTION = re.compile(r"\s*\(?[A-J][.):]")
_QUOTED = re.compile(r"ANSWER location[ \t]*\d+[ \t]*:[ \t]*\[(.+)\]")

_INTRODUCTION = (
    r"(?:=|:|≈|→|\bis|\bare|\bbe|\bget|\bgets|\bgives?|\bequals?|\bhave|\banswer|\boption|\bchoice|\bboxed\{)"
)
_DRESS = r"[ \t$*\\({\[]{0,6}"
_NO_MORE = r"(?![ \t]?[-+*/^=]|[ \t]?\\(?:times|cdot)|[.,]?\d|\w)"

_QUESTION = (
    "Below is a part of a chain of thought, and the correct answer to its question, which is:\n{answer}\n\n"
    "The part:\n{completion}\n\n"
    "Find every place in it that states the complete correct answer, as a result and not as a step on the "
    "way. For each write a line of the form\nANSWER location k: [the words of that place, copied exactly]\n"
    "with k = 1, 2, ... in the order of the text. If there is none, write NONE."
)


@dataclass(frozen=True)
class Thoughts:
    """The text before `</think>`, and the answers that count as correct in it."""

    text: str
    closed: bool
    answers: tuple[str, ...]
    """At least one."""
    reference: str
    """The correct answer, as a judge is shown it."""

    @staticmethod
    def of(completion: str, right: bool, answer: str | None, gold: str) -> Thoughts | None:
        """Without `</think>` the whole completion is thoughts. None where no answer is known.

        A right completion shows the answer in its own words: in its last box, as `answer`, and to a judge by
        the line of that box.
        """
        before, closed, after = completion.partition("</think>")
        row = next((row for row in reversed(after.splitlines()) if "\\boxed{" in row), "") if right else ""
        own = [_inside_box(row), answer or ""] if right else []
        answers = [text for text in dict.fromkeys([*own, gold]) if text.strip()]
        if not answers:
            return None
        text = before.rpartition("<think>")[2]
        return Thoughts(text, bool(closed), tuple(answers), row.strip() or answers[-1])

    def trace(self, marks: Sequence[int]) -> Trace:
        """`marks`: the places after which the answer has been stated."""
        places = sorted(set(marks))
        ends = bool(places) and not self.text[places[-1] :].strip()
        return Trace(len(places), ends, self.closed)


def by_rule(thoughts: Thoughts) -> Trace:
    """A line states the answer if the answer stands in it after a word or sign that introduces a result.

    Nothing but a rule: a step on the way that happens to be equal counts, and another wording of the answer
    does not.
    """
    patterns = [_statement(answer) for answer in thoughts.answers]
    marks = [
        end
        for start, end in lines(thoughts.text)
        if any(pattern.search(_plain(thoughts.text[start:end])) for pattern in patterns)
    ]
    return thoughts.trace(marks)


def by_judge(every: Sequence[Thoughts], endpoint: Endpoint) -> list[Trace | EndpointError]:
    """Asks about the pieces of all thoughts at once. One that gets no answer leaves its thoughts without."""
    parts = [pieces(thoughts.text) for thoughts in every]
    questions = [
        fill(_QUESTION, "", thoughts.reference, [thoughts.text[start:end]], end - start)
        for thoughts, spans in zip(every, parts, strict=True)
        for start, end in spans
    ]
    replies = iter(endpoint.ask_all(questions))
    return [
        _read(thoughts, spans, [next(replies) for _ in spans])
        for thoughts, spans in zip(every, parts, strict=True)
    ]


def _read(
    thoughts: Thoughts, spans: Sequence[tuple[int, int]], replies: Sequence[str | EndpointError]
) -> Trace | EndpointError:
    marks: list[int] = []
    for (start, end), reply in zip(spans, replies, strict=True):
        if isinstance(reply, EndpointError):
            return reply
        quotes = _QUOTED.findall(reply.rpartition("</think>")[2])
        marks += [start + place for place in places(thoughts.text[start:end], quotes)]
    return thoughts.trace(marks)


def places(text: str, quotes: Sequence[str]) -> list[int]:
    """The ends of the lines that the quotes are most like, each after the one before it if there is such."""
    found: list[int] = []
    spans = lines(text)
    for quote in quotes:
        wanted = quote.strip()[-_QUOTE_END:] if len(quote.strip()) > _LONG_QUOTE else quote.strip()
        after = [span for span in spans if not found or span[1] > found[-1]]
        place = _most_like(text, after, wanted) or _most_like(text, spans, wanted)
        if place is not None and place not in found:
            found.append(place)
    return found


def _most_like(text: str, spans: Sequence[tuple[int, int]], wanted: str) -> int | None:
    likeness, place = max(
        ((fuzz.partial_ratio(wanted, text[start:end]), -end) for start, end in spans), default=(0.0, 0)
    )
    return -place if likeness >= _LIKE_ENOUGH else None


def lines(text: str) -> list[tuple[int, int]]:
    """Spans of the lines of `text`, short ones joined with what follows."""
    spans: list[tuple[int, int]] = []
    start = place = characters = 0
    for line in text.splitlines(keepends=True):
        place += len(line)
        characters += len("".join(line.split()))
        if characters >= _LINE:
            spans.append((start, place))
            start, characters = place, 0
    if characters:
        spans.append((start, place))
    return spans


def pieces(text: str) -> list[tuple[int, int]]:
    """Spans of about equal length, cut at ends of lines that end a thought; the rest joins the last one."""
    if len(text) <= _WHOLE:
        return [(0, len(text))]
    target = len(text) // 2 + 1 if len(text) < _SMALL else _PIECE
    rows = text.splitlines(keepends=True)
    spans: list[tuple[int, int]] = []
    start = place = 0
    for row, following in zip(rows, [*rows[1:], ""], strict=True):
        place += len(row)
        apart = not row.rstrip().endswith(_GOES_ON) and _OPTION.match(following) is None
        if place - start >= target and apart:
            spans.append((start, place))
            start = place
    if len(text) - start >= target // 2 or not spans:
        return [*spans, (start, len(text))]
    return [*spans[:-1], (spans[-1][0], len(text))]


def _inside_box(row: str) -> str:
    return row.rpartition("\\boxed{")[2].rpartition("}")[0]


def _statement(answer: str) -> re.Pattern[str]:
    return re.compile(_INTRODUCTION + _DRESS + re.escape(_plain(answer).strip()) + _NO_MORE, re.IGNORECASE)


def _plain(text: str) -> str:
    """Without separators of thousands and marks of bold, and with a blank for every run of them."""
    return re.sub(r"[ \t\n]+", " ", re.sub(r"(?<=\d),(?=\d{3})", "", text.replace("**", "")))
