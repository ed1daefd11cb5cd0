"""The forms an answer can take.

`str` of a form is its normal form: equal answers of one kind are equal texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from dapo.verify.numbers import Number


@dataclass(frozen=True)
class Infinity:
    """An end of an interval that is none."""

    negative: bool = False

    def __str__(self) -> str:
        return "-oo" if self.negative else "oo"


@dataclass(frozen=True)
class Word:
    """Text, a numeral of another base, a ratio. Equal if spelled alike; only single letters have case."""

    text: str

    def __str__(self) -> str:
        return self.text if len(self.text) == 1 else self.text.casefold()


@dataclass(frozen=True)
class Formula:
    """Everything that has no other form, as it is spelled."""

    text: str

    def __str__(self) -> str:
        return self.text.replace(" ", "")


@dataclass(frozen=True)
class Sequence:
    """Items between brackets: a tuple or an interval, or with `{}` a set or a list without brackets."""

    brackets: str
    items: tuple[Form, ...]

    @property
    def ordered(self) -> bool:
        """False for sets and lists without brackets."""
        return self.brackets != "{}"

    def __str__(self) -> str:
        label = str if len({item.name for item in self.items if isinstance(item, Named)}) < 2 else labelled
        texts = [label(item) for item in self.items]
        return (
            f"{self.brackets[0]}{', '.join(texts if self.ordered else sorted(set(texts)))}{self.brackets[1]}"
        )


@dataclass(frozen=True)
class Chain:
    r"""Items in ascending order, `f(2) < f(1) \le f(4)`, with the signs between them."""

    signs: tuple[str, ...]
    items: tuple[Form, ...]

    def __str__(self) -> str:
        rest = (f" {sign} {item}" for sign, item in zip(self.signs, self.items[1:], strict=True))
        return str(self.items[0]) + "".join(rest)


@dataclass(frozen=True)
class Joined:
    """Intervals and sets, united."""

    parts: tuple[Sequence, ...]

    def __str__(self) -> str:
        return " U ".join(sorted(map(str, self.parts)))


@dataclass(frozen=True)
class Matrix:
    """Rows of items."""

    rows: tuple[tuple[Form, ...], ...]

    def __str__(self) -> str:
        rows = (", ".join(map(str, row)) for row in self.rows)
        return "[" + ", ".join(f"[{row}]" for row in rows) + "]"


@dataclass(frozen=True)
class Named:
    """A value with a name: `x = 5`, `f(x) = 2x`, `x > 3`. The normal form is the value's."""

    name: str
    value: Form

    def __str__(self) -> str:
        return str(self.value)


def labelled(form: Form) -> str:
    """The normal form, with the name of a value that has one."""
    return f"{form.name.replace(' ', '')} = {form.value}" if isinstance(form, Named) else str(form)


Form = Number | Infinity | Word | Formula | Sequence | Joined | Chain | Matrix | Named
