"""Visual grounding: the objects named, and the boxes around them, must be the gold ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking
from dapo.verify.matching import most_pairs
from dapo.verify.text import edit_distance, normalise

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in whatever unit the gold boxes have."""

_OBJECT = re.compile(r"<obj>([^<]{0,500})</obj>|<box>([^<]{0,5000})</box>")
_FOUR = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")
_MAX_FOUND = 100
"""How many objects of a completion are compared; one that names more is wrong."""


@dataclass(frozen=True)
class _Found:
    """An object and one of its boxes, None if it has none."""

    name: str
    box: Box | None


@dataclass(frozen=True)
class Reward:
    """1 if every gold object is found and no other, else 0. The form and the limits are those of Yuan3.0.

    Written are `<obj>name</obj><box>[x1, y1, x2, y2]</box>`, several boxes of an object as `[...], [...]` in
    one tag or in tags of their own. Objects are paired with gold ones, one to one: with the same name, case
    and punctuation aside, and an intersection over union above `iou`. A gold object without a box is found by
    one whose name is more than `similarity` like its own. `Score.answer` is the names found.

    A box whose right is not beyond its left, or its bottom not beyond its top, fits none. Raises ValueError
    if the answer holds no object.
    """

    name: ClassVar[str] = "grounding"

    iou: float = 0.7
    similarity: float = 0.5
    """One minus the edit distance over the longer length."""
    graded: bool = False
    """Score the share of pairs among all objects, those of the gold and those of the completion (F1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.iou < 1 or not 0 <= self.similarity < 1:
            raise ValueError(
                f"iou and similarity must lie in [0, 1), not {self.iou} and {self.similarity}; "
                "the value found has to be above them"
            )

    def __call__(self, completion: Completion, example: Example) -> Score:
        gold = _objects(example.answer)
        if not gold:
            raise ValueError(
                f"the answer of example {example.id} holds no <obj>...</obj>: {example.answer!r:.80}; write "
                "<obj>name</obj><box>[x1, y1, x2, y2]</box>"
            )
        found = _objects(after_thinking(completion.text))
        if not found:
            return Score(0.0)
        answer = ", ".join(dict.fromkeys(each.name for each in found))
        if len(found) > max(_MAX_FOUND, len(gold)):
            return Score(0.0, answer=answer)
        pairs = most_pairs([[self._fits(one, other) for other in gold] for one in found])
        share = 2 * pairs / (len(found) + len(gold))
        return Score(share if self.graded else float(share == 1), answer=answer)

    def _fits(self, found: _Found, gold: _Found) -> bool:
        if gold.box is None:
            return 1 - edit_distance(normalise(found.name), normalise(gold.name)) > self.similarity
        if found.box is None or normalise(found.name) != normalise(gold.name):
            return False
        return intersection_over_union(found.box, gold.box) > self.iou


def intersection_over_union(one: Box, other: Box) -> float:
    """The area two boxes share over the area they cover; 0 if one of them has none."""
    areas = [_length(box[0], box[2]) * _length(box[1], box[3]) for box in (one, other)]
    if not all(areas):
        return 0.0
    width = _length(max(one[0], other[0]), min(one[2], other[2]))
    height = _length(max(one[1], other[1]), min(one[3], other[3]))
    return width * height / (sum(areas) - width * height)


def _length(start: float, end: float) -> float:
    return max(end - start, 0.0)


def _objects(text: str) -> list[_Found]:
    """What a text names, once for each box."""
    found: list[_Found] = []
    for match in _OBJECT.finditer(text):
        name, boxes = match.groups()
        if name is not None:
            found.append(_Found(name.strip(), None))
        elif found:
            last = found[-1]
            if last.box is None:
                found.pop()
            found += [_Found(last.name, box) for box in _boxes(boxes)]
    return found


def _boxes(text: str) -> list[Box]:
    """The boxes of a tag; one of anything but four numbers is a box without area."""
    fours = _FOUR.findall(text) or [text]
    return [_box([float(number) for number in _NUMBER.findall(four)]) for four in fours]


def _box(numbers: list[float]) -> Box:
    if len(numbers) != 4:
        return (0.0, 0.0, 0.0, 0.0)
    left, top, right, bottom = numbers
    return (left, top, right, bottom)
