"""Whether two answers say the same.

First by form (see reading.py), which is exact and quick, and settles almost every answer of the usual data
sets. Where the forms leave it open, by computer algebra (see symbolic.py), which is slow and may have to be
stopped: call `equivalent` where a deadline is enforced from outside. Nothing is ever evaluated as code.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

from dapo.verify.forms import Chain, Form, Formula, Joined, Matrix, Named, Sequence, Word, labelled
from dapo.verify.numbers import Number, read_number
from dapo.verify.reading import read
from dapo.verify.spelling import tidy
from dapo.verify.symbolic import same_by_algebra


@dataclass(frozen=True)
class Answer:
    """An answer as it is spelled and as it is read."""

    text: str
    form: Form

    def __str__(self) -> str:
        """Its normal form. Answers that are equal by form have the same, but for percentages and rounding."""
        return str(self.form)


def answer(text: str) -> Answer:
    """Read an answer, as a model or a data set wrote it."""
    bare = text.strip(" $\n").rstrip(" .$")
    number = read_number(bare)
    if number is not None:
        return Answer(bare, number)
    spelled = tidy(text)
    return Answer(spelled, read(spelled))


def equivalent(one: Answer, gold: Answer) -> bool:
    """True if both say the same. `one` is the model's answer; computer algebra may tell the sides apart."""
    if one.text == gold.text:
        return True
    verdict = by_form(one.form, gold.form)
    return same_by_algebra(one.text, gold.text) if verdict is None else verdict


def by_form(one: Form, other: Form) -> bool | None:
    """The verdict of the forms, or None where it takes computer algebra on the answers as a whole.

    - A number equals a number (`Number.equals`), and no word, tuple or set.
    - Words equal words by their letters.
    - Tuples, intervals and matrices equal item by item; sets and lists without brackets in any order.
    - A tuple equals a set, a list without brackets, and a vector, with its items in its order.
    - A value with a name equals the value without. Under one name values decide; under different names
      numbers differ.
    """
    if isinstance(one, Named) or isinstance(other, Named):
        return _named(one, other)
    if str(one) == str(other):
        return True
    if isinstance(one, Formula) or isinstance(other, Formula):
        words = isinstance(one, Word) or isinstance(other, Word)
        return (words and str(one).casefold() == str(other).casefold()) or None
    if isinstance(one, Number) and isinstance(other, Number):
        return one.equals(other)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return _sequences(one, other)
    if isinstance(one, Matrix) or isinstance(other, Matrix):
        return _matrices(one, other)
    if isinstance(one, Chain) and isinstance(other, Chain):
        return one.signs == other.signs and _in_order(one.items, other.items)
    if isinstance(one, Joined | Chain) or isinstance(other, Joined | Chain):
        return None
    return False


def _named(one: Form, other: Form) -> bool | None:
    name, value = _parts(one)
    other_name, other_value = _parts(other)
    verdict = by_form(value, other_value)
    if not name or not other_name or name == other_name:
        return verdict
    return False if isinstance(value, Number) and isinstance(other_value, Number) else None


def _parts(form: Form) -> tuple[str, Form]:
    return (form.name.replace(" ", ""), form.value) if isinstance(form, Named) else ("", form)


def _sequences(one: Sequence, other: Sequence) -> bool | None:
    if one.ordered and other.ordered:
        alike = one.brackets == other.brackets or len(one.items) > 2
        return alike and _in_order(one.items, other.items)
    if one.ordered or other.ordered:
        brackets = one.brackets if one.ordered else other.brackets
        return (brackets == "()" or len(one.items) > 2) and _in_order(one.items, other.items)
    if _names(one) != _names(other) and not (_names(one) and _names(other)):
        return _in_order(one.items, other.items) if len(one.items) == len(other.items) else None
    unlike = {type(item) for item in one.items} != {type(item) for item in other.items}
    return _any_order(one.items, other.items) or (
        None if unlike and len(one.items) != len(other.items) else False
    )


def _names(form: Sequence) -> bool:
    """Whether the items have names of their own: then only their order says which is which without them."""
    return len({_parts(item)[0] for item in form.items if isinstance(item, Named)}) > 1


def _matrices(one: Form, other: Form) -> bool | None:
    rows, other_rows = _rows(one), _rows(other)
    if rows is None or other_rows is None:
        return None
    if isinstance(one, Matrix) and isinstance(other, Matrix):
        same_shape = list(map(len, rows)) == list(map(len, other_rows))
    else:
        same_shape = 1 in (len(rows), len(rows[0]), len(other_rows), len(other_rows[0]))
    items, other_items = (tuple(item for row in found for item in row) for found in (rows, other_rows))
    return same_shape and _in_order(items, other_items)


def _rows(form: Form) -> Items[Items[Form]] | None:
    if isinstance(form, Matrix):
        return form.rows
    return [form.items] if isinstance(form, Sequence) else None


def _in_order(items: Items[Form], others: Items[Form]) -> bool:
    return len(items) == len(others) and all(map(_item_equals, items, others))


def _any_order(items: Items[Form], others: Items[Form]) -> bool:
    """Equality as sets: what is written alike on both sides is paired first, the rest is tried in turn."""
    left = {labelled(item): item for item in items}
    right = {labelled(item): item for item in others}
    if len(left) != len(right):
        return False
    rest = [item for text, item in right.items() if text not in left]
    for text, item in left.items():
        if text in right:
            continue
        partner = next((other for other in rest if _item_equals(item, other)), None)
        if partner is None:
            return False
        rest.remove(partner)
    return True


def _item_equals(one: Form, other: Form) -> bool:
    verdict = by_form(one, other)
    return same_by_algebra(_spelled(one), _spelled(other)) if verdict is None else verdict


def _spelled(form: Form) -> str:
    return form.text if isinstance(form, Formula | Word) else labelled(form).replace("oo", r"\infty")
