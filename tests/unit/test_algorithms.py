"""The presets: their values as facts, what resolves, and that the docs say what the code does."""

from __future__ import annotations

import pickle
import re
import warnings
from dataclasses import fields, replace
from pathlib import Path

import pytest

from dapo.algorithms import PRESETS, Algorithm
from dapo.core.advantages import GroupCentered, GroupNormalized
from dapo.core.kl import KLPenalty
from dapo.core.losses import CispoLoss, ClipLoss, SequenceClipLoss, SoftGateLoss
from dapo.core.masks import EntropyMask
from dapo.core.off_policy import ImportanceCorrection
from dapo.core.reduce import ConstantMean, SequenceMean, TokenMean
from dapo.core.shaping import SoftOverlong
from dapo.recipe.resolve import algorithm_from
from dapo.recipe.text import parse_yaml

ROOT = Path(__file__).parents[2]
PAPERS = ROOT / "docs" / "papers.md"
ALGORITHM = ROOT / "docs" / "algorithm.md"

each = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())


def test_the_presets() -> None:
    assert list(PRESETS) == ["grpo", "dr_grpo", "dapo", "dapo-80-20", "gspo", "sapo", "cispo"]


def test_dapo_is_the_paper() -> None:
    assert PRESETS["dapo"] == Algorithm(
        name="dapo",
        paper=PRESETS["dapo"].paper,
        loss=ClipLoss(low=0.2, high=0.28, dual_clip=None),
        reduction=TokenMean(),
        advantage=GroupNormalized(ddof=1, epsilon=1e-6),
        signed_rewards=True,
        soft_overlong=SoftOverlong(factor=1.0, floor=True),
        overlong_filter=None,
        entropy_mask=None,
        kl=None,
        entropy_bonus=0.0,
        off_policy=ImportanceCorrection(),
        sampling_policy="refill",
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "grpo",
            {"loss": ClipLoss(0.2, 0.2), "reduction": SequenceMean(), "kl": KLPenalty(0.04, "k3", "loss")},
        ),
        (
            "dr_grpo",
            {"reduction": ConstantMean(), "advantage": GroupCentered(), "signed_rewards": False, "kl": None},
        ),
        (
            "dapo-80-20",
            {
                "loss": ClipLoss(0.2, 0.28, optimized_dual_clip=True),
                "entropy_mask": EntropyMask(0.2, "response", "all"),
                "reduction": TokenMean(),
                "sampling_policy": "refill",
            },
        ),
        (
            "gspo",
            {
                "loss": SequenceClipLoss(3e-4, 4e-4),
                "reduction": SequenceMean(),
                "off_policy": ImportanceCorrection("sequence_mean"),
                "sampling_policy": "off",
            },
        ),
        ("sapo", {"loss": SoftGateLoss(1.0, 1.05), "reduction": SequenceMean(), "soft_overlong": None}),
        (
            "cispo",
            {"loss": CispoLoss(None, 5.0), "reduction": TokenMean(), "soft_overlong": SoftOverlong()},
        ),
    ],
)
def test_values_of_the_other_presets(name: str, values: dict[str, object]) -> None:
    assert {key: getattr(PRESETS[name], key) for key in values} == values


@each
def test_presets_raise_no_warning_pickle_and_resolve(preset: Algorithm) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert replace(preset) == preset
    assert pickle.loads(pickle.dumps(preset)) == preset
    resolved = preset.resolved(1000)
    assert resolved.resolved(1000) == resolved
    if resolved.soft_overlong is not None:
        assert resolved.soft_overlong == SoftOverlong(1000, 200)
    if isinstance(resolved.reduction, ConstantMean):
        assert resolved.reduction.tokens_per_sequence == 1000
    unchanged = {field.name for field in fields(preset)} - {"soft_overlong", "reduction"}
    assert all(getattr(resolved, name) == getattr(preset, name) for name in unchanged)


def section_of(preset: Algorithm) -> str:
    rest = PAPERS.read_text().split(f"\n## {preset.name}\n", 1)[1]
    return re.split(r"^## ", rest, flags=re.MULTILINE)[0]


@each
def test_every_setting_of_a_preset_is_accounted_for_in_the_papers_page(preset: Algorithm) -> None:
    section = section_of(preset)
    rows = {line.split("|")[1].strip().strip("`") for line in section.splitlines() if line.startswith("| `")}
    expected = {field.name for field in fields(preset)} - {"name", "paper"}
    assert rows == expected
    arxiv = re.search(r"\d{4}\.\d{5}", preset.paper)
    assert arxiv is not None
    assert arxiv.group() in section


@each
def test_what_the_papers_page_says_to_write_can_be_written(preset: Algorithm) -> None:
    settings = "|".join({field.name for field in fields(preset)} - {"name", "paper"})
    snippets = re.findall(rf"`((?:{settings}): [^`]+)`", section_of(preset))
    assert len(snippets) >= 10
    for snippet in snippets:
        changes = parse_yaml(re.sub(r"\.\.\.", "100", snippet))
        assert algorithm_from({"name": preset.name, **changes}) != preset, snippet


@pytest.mark.parametrize(
    ("values", "message"),
    [({"entropy_bonus": -0.1}, "entropy_bonus"), ({"sampling_policy": "complete"}, "sampling_policy")],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["dapo"], **values)  # type: ignore[arg-type]


def test_the_algorithm_page_names_and_quotes_code_that_exists() -> None:
    page = ALGORITHM.read_text()
    sections = page.split("\n## ")
    references = re.findall(r"`(dapo/[\w/]+\.py):(\w+)`", page)
    assert len(references) > 20
    for file, symbol in references:
        source = (ROOT / file).read_text()
        assert re.search(rf"^(class|def) {symbol}\b", source, flags=re.MULTILINE), f"{file}:{symbol}"
    for section in sections:
        sources = {(ROOT / file).read_text() for file in re.findall(r"`(dapo/[\w/]+\.py):\w+`", section)}
        lines = {line.strip() for source in sources for line in source.splitlines()}
        for block in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL):
            for line in block.splitlines():
                assert line.strip() in lines, f"not in the code of its section: {line}"
