r"""One spelling for the many ways to write an answer: LaTeX, Markdown, Unicode, plain text.

`tidy` changes how an answer is written and never what it says. Each row of a table is one rule. Nothing
here computes, and no pattern can backtrack over more than one brace group.
"""

from __future__ import annotations

import re

MAX_ANSWER_CHARACTERS = 2000
"""What is longer is no answer: it is compared as it stands."""

_UNICODE = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}\N{NON-BREAKING HYPHEN}", "-"),
        **dict.fromkeys(
            "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{IDEOGRAPHIC SPACE}", " "
        ),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        "\N{FULLWIDTH LEFT PARENTHESIS}": "(",
        "\N{FULLWIDTH RIGHT PARENTHESIS}": ")",
        "\N{FULLWIDTH COMMA}": ",",
        "\N{IDEOGRAPHIC COMMA}": ",",
        "\N{FULLWIDTH COLON}": ":",
        "\N{RATIO}": ":",
        "\N{FULLWIDTH EQUALS SIGN}": "=",
        "\N{FULLWIDTH PERCENT SIGN}": "%",
        "\N{IDEOGRAPHIC FULL STOP}": ".",
        "\N{MULTIPLICATION SIGN}": r"\times ",
        "\N{MIDDLE DOT}": r"\cdot ",
        "\N{DOT OPERATOR}": r"\cdot ",
        "\N{DIVISION SIGN}": "/",
        "\N{FRACTION SLASH}": "/",
        "\N{INFINITY}": r"\infty ",
        "\N{GREEK SMALL LETTER PI}": r"\pi ",
        "\N{GREEK SMALL LETTER THETA}": r"\theta ",
        "\N{SQUARE ROOT}": " sqrt",
        "\N{DEGREE SIGN}": r"^\circ ",
        "\N{PLUS-MINUS SIGN}": r"\pm ",
        "\N{LESS-THAN OR EQUAL TO}": r"\le ",
        "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
        "\N{NOT EQUAL TO}": r"\ne ",
        "\N{ALMOST EQUAL TO}": r"\approx ",
        "\N{UNION}": r"\cup ",
        "\N{INTERSECTION}": r"\cap ",
        "\N{ELEMENT OF}": r"\in ",
        "\N{SUPERSCRIPT TWO}": "^2",
        "\N{SUPERSCRIPT THREE}": "^3",
        "\N{VULGAR FRACTION ONE HALF}": r"\frac{1}{2}",
        "\N{VULGAR FRACTION ONE QUARTER}": r"\frac{1}{4}",
        "\N{VULGAR FRACTION THREE QUARTERS}": r"\frac{3}{4}",
        "\0": "",
    }
)

_BLANKS = re.compile(r"[ \t\r\n\v\0]+")
_ESCAPED = re.compile(r"\\+")
_ESCAPED_COMMAND = re.compile(r"\\\\(?=[a-zA-Z!,;:$%{}])")

_COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("\x0c", r"\\?\x0crac", r"\\frac"),  # A form feed is what JSON makes of the \f of \frac.
    (",", r"(?<=\d)(?:,\\!\s*|\{,\}\s?)(?=\d{3}(?!\d))", ","),
    ("\\", r"(?<=\d)\\,(?=\d{3}(?!\d))", ","),
    ("\\", r"\\(?:displaystyle|textstyle|limits|left|right|[bB]igg?[lr]?)(?![a-zA-Z])", ""),
    ("\\", r"(?<!\\)\\[!()\[\]]", ""),
    ("$", r"(?<!\\)\$", ""),
    ("**", r"\*\*$|^\*\*", ""),
    ("\\", r"\\\$|\\(?:pounds|euro)(?![a-zA-Z])", "$"),
    ("\\", r"(?<!\\)\\[,;: ]|\\q?quad(?![a-zA-Z])", " "),
    ("~", r"~(?!=)", " "),
    ("\\langle", r"\\langle(?![a-zA-Z])", "("),
    ("\\rangle", r"\\rangle(?![a-zA-Z])", ")"),
    ("frac", r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    ("{", r"\\(?:text|math)(?:normal|rm|bf|it|sf|up|tt)?(?=\s*\{)", r"\\text"),
    ("{", r"\\(?:mbox|hbox|operatorname)(?=\s*\{)", r"\\text"),
    ("\\text", r"\\text\s*\{\s*(?:\\?%|percent(?:age)?|pct)\s*\}", "%"),
    ("\\%", r"\\%", "%"),
    ("p", r"(?<![a-zA-Z\\])(?:percent(?:age)?|pct)(?![a-zA-Z])", "%"),
    ("\\text", r"(?<![\d}])(?<![\d}] )\\text\s*\{\s*([a-zA-Z]|-?[\d.,]+)\s*\}", r"\1"),
    ("\\text", r"\\text\s*\{\s*(?:,\s*)?(and|or)\s*\}", r" \1 "),
    ("\\frac", r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
    ("\\frac", r"\\frac\s*(\d)\s*(?=\{)", r"\\frac{\1}"),
    ("\\frac", r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
    ("\\", r"\\(frac|sqrt)\s+(?=[{\[])", r"\\\1"),
    ("\\sqrt", r"\\sqrt\s*(\d|[a-zA-Z](?![a-zA-Z]))", r"\\sqrt{\1}"),
    ("\\circ", r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))", r"^\\circ"),
    ("\\le", r"\\(?:leqslant|leq|le)(?![a-zA-Z])", r"\\le "),
    ("<", r"<=", r"\\le "),
    ("\\ge", r"\\(?:geqslant|geq|ge)(?![a-zA-Z])", r"\\ge "),
    (">", r">=", r"\\ge "),
    ("\\lt", r"\\lt(?![a-zA-Z])", "<"),
    ("\\gt", r"\\gt(?![a-zA-Z])", ">"),
    ("\\ne", r"\\neq?(?![a-zA-Z])", r"\\neq "),
    ("!=", r"!=", r"\\neq "),
    ("~=", r"~=", r"\\approx "),
    ("in", r"(?<![a-zA-Z\\])(?:infinity|infty|inf)(?![a-zA-Z])", r"\\infty"),
    ("oo", r"(?<![a-zA-Z\\])oo(?![a-zA-Z])", r"\\infty"),
    ("brace", r"\\l[bB]race(?![a-zA-Z])", r"\\{"),
    ("brace", r"\\r[bB]race(?![a-zA-Z])", r"\\}"),
    (" ", r" {2,}", " "),
)
"""What a text must contain for a rule to concern it, what the rule replaces, and by what."""

_RULES = tuple((needle, re.compile(pattern, re.ASCII), new) for needle, pattern, new in _COMMANDS)

_TRAILING = " .,;:\\"
_PLAIN_TEXT = (
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<![a-zA-Z\\])sqrt\s*\("), r"\\sqrt("),
    (re.compile(r"(?<![a-zA-Z\\])sqrt\s*(\d+)"), r"\\sqrt{\1}"),
    (
        re.compile(r"(?<![a-zA-Z\\])(pi|theta|sin|cos|tan|cot|sec|csc|log|ln|alpha|beta)(?![a-zA-Z])"),
        r"\\\1 ",
    ),
    (re.compile(r"\s*\*\s*"), r" \\cdot "),
    (re.compile(r"\^\s+"), "^"),
)
_GROUPED = re.compile(r"(?:\^|\\sqrt)\(")


def tidy(answer: str) -> str:
    """The answer in one spelling: no dollar signs, sizes, spaces of LaTeX, or marks at the end."""
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return answer.strip()
    text = _unescape(answer if answer.isascii() else answer.translate(_UNICODE))
    text = _BLANKS.sub(" ", text)
    for needle, pattern, new in _RULES:
        if needle in text:
            text = pattern.sub(new, text)
    return _unwrap(text).strip().rstrip(_TRAILING).strip()


def as_latex(text: str) -> str:
    """Tidy text with what is written as in a program (`2**(1/4)`, `sqrt(3)`, `pi`) turned into LaTeX."""
    for pattern, new in _PLAIN_TEXT:
        text = pattern.sub(new, text)
    for match in reversed(list(_GROUPED.finditer(text))):
        end = closing(text, match.end() - 1)
        if end is not None:
            text = f"{text[: match.end() - 1]}{{{text[match.end() : end]}}}{text[end + 1 :]}"
    return text


def closing(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` closes, counting brackets of all kinds; None if nowhere."""
    depth = 0
    for position in range(start, len(text)):
        character = text[position]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position
    return None


def _unescape(text: str) -> str:
    r"""Undo the doubling of backslashes (`\\frac`) that JSON inside JSON leaves behind."""
    if "\\\\" not in text:
        return text
    runs = _ESCAPED.findall(text)
    if _ESCAPED_COMMAND.search(text) and all(len(run) % 2 == 0 for run in runs):
        return _ESCAPED.sub(lambda run: run[0][: len(run[0]) // 2], text)
    return text if "\\begin" in text else _ESCAPED_COMMAND.sub(r"\\", text)


def _unwrap(text: str) -> str:
    r"""Take off `\boxed{...}` and what is left of one that never closes."""
    for box in ("\\boxed", "\\fbox"):
        while (start := text.find(box)) >= 0:
            open_brace = start + len(box)
            end = closing(text, open_brace) if text[open_brace : open_brace + 1] == "{" else None
            inner = text[open_brace + 1 : end] if end is not None else text[open_brace:].lstrip("{")
            text = text[:start] + inner + ("" if end is None else text[end + 1 :])
    return text
