"""`dapo data prepare`: names and paths to sources, and sources to a folder that can be trained on."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dapo.data.columns import Columns
from dapo.data.files import Row, read_rows
from dapo.data.hub import read_hub
from dapo.data.prepare.card import write_card
from dapo.data.prepare.contamination import Evaluations
from dapo.data.prepare.keys import Wrappers
from dapo.data.prepare.pipeline import Findings, Preparation, PrepareSettings
from dapo.data.prepare.records import Source, Unusable, read_records
from dapo.data.prepare.yuan import list_sources
from dapo.data.progress import Progress, silent
from dapo.errors import UserError
from dapo.tasks import aime, dapo_math, gsm8k
from dapo.verify.extract import last_boxed

DATA_FILES = (".parquet", ".jsonl", ".json", ".csv")
LIST_FILES = (".txt", ".list", ".lst")

WRAPPERS = Wrappers(
    prefixes=(dapo_math.PREFIX,),
    suffixes=(
        dapo_math.SUFFIX,
        gsm8k.Task().prompt_template.removeprefix("{prompt}"),
        # Of verl's GSM8K and MATH, of Qwen's evaluations, and of some rows of DAPO-Math-17k.
        'Let\'s think step by step and output the final answer after "####".',
        "Let's think step by step and output the final answer within \\boxed{}.",
        "Please reason step by step, and put your final answer within \\boxed{}.",
        "让我们一步一步地思考。请以“Answer: \\boxed{<final_answer>}”的格式输出最终答案。"
        "如果是选择题\uff0c请按顺序输出正确的选项\uff0c不带任何标点或空格。"
        "对于其他类型的问题\uff0c请只输出最终答案的数值。",
    ),
)
"""Instructions that do not make another problem of one."""


@dataclass(frozen=True)
class _DataSet:
    """A published data set: where it lies on the hub, and what its rows become."""

    hub: tuple[str, str | None, str]
    """Name, configuration and split."""
    data_source: str
    """verl's name for it, which chooses the reward."""
    instruct: Callable[[str], str]
    gold: Callable[[Row], str] | None = None
    """The answer, where it stands inside a worked solution."""


def _gsm8k_question(problem: str) -> str:
    return gsm8k.Task().prompt_template.replace("{prompt}", problem)


def _gsm8k_gold(row: Row) -> str:
    return gsm8k.solution_of(row).rpartition("####")[2].strip().replace(",", "")


def _math_gold(row: Row) -> str:
    answer = row.values.get("answer") or last_boxed(str(row.values.get("solution", "")))
    if not answer:
        raise UserError(
            f"{row.place}: the answer is missing; there is neither `answer` nor a box in `solution`"
        )
    return str(answer)


def _hub_of_aime(year: int) -> tuple[str, str | None, str]:
    name, split = aime.HUBS[year]
    return name, None, split


DATA_SETS: Mapping[str, _DataSet] = {
    "dapo-math-17k": _DataSet((dapo_math.HUB, None, "train"), "math_dapo", dapo_math.wrap),
    "aime-2024": _DataSet(_hub_of_aime(2024), "aime2024", dapo_math.wrap),
    "aime-2025": _DataSet(_hub_of_aime(2025), "aime2025", dapo_math.wrap),
    "gsm8k": _DataSet(("openai/gsm8k", "main", "train"), "openai/gsm8k", _gsm8k_question, _gsm8k_gold),
    "gsm8k-test": _DataSet(("openai/gsm8k", "main", "test"), "openai/gsm8k", _gsm8k_question, _gsm8k_gold),
    "math": _DataSet(
        ("DigitalLearningGmbH/MATH-lighteval", "default", "train"),
        "DigitalLearningGmbH/MATH-lighteval",
        dapo_math.wrap,
        _math_gold,
    ),
    "math-500": _DataSet(
        ("HuggingFaceH4/MATH-500", None, "test"), "HuggingFaceH4/MATH-500", dapo_math.wrap, _math_gold
    ),
}
"""By the names that `dapo data prepare` takes."""


def sources_of(spec: str, columns: Columns | None = None, instruct: bool = True) -> list[Source]:
    """The sources that a word on the command line stands for.

    `NAME` is a data set of `DATA_SETS` on the hub, `NAME=FILE` the same from a file; `FILE` is any data file
    in verl's schema or with the columns `prompt` or `problem` or `question`, and `answer`; `owner/name` a
    data set of the hub; a file that ends in `.txt`, `.list` or `.lst` is one of Yuan3.0's lists. `columns`
    says where prompt and answer stand in files and data sets without a name. Without `instruct`, prompts of
    named data sets get no instructions.

    Raises UserError if it stands for nothing.
    """
    name, _, path = spec.partition("=")
    if name.lower() in DATA_SETS:
        source = _named(name.lower(), path)
        return [source if instruct else replace(source, instruct=None)]
    suffix = Path(spec).suffix.lower()
    if suffix in LIST_FILES:
        return list_sources(Path(spec).expanduser())
    if suffix in DATA_FILES:
        return [_plain(spec, lambda: read_rows(spec), columns, (Path(spec).expanduser(),), _count(spec))]
    if spec.count("/") == 1 and not Path(spec).exists():
        return [_plain(spec, lambda: read_hub(spec), columns)]
    raise UserError(
        f"{spec!r} is no source of data: give one of {', '.join(DATA_SETS)} (with =FILE for a copy of it), "
        f"a file that ends in {', '.join(DATA_FILES)}, a list of files that ends in .txt, or owner/name on "
        "the hub"
    )


def _named(name: str, path: str) -> Source:
    kind = DATA_SETS[name]
    read = (lambda: read_rows(path)) if path else (lambda: read_hub(*kind.hub))
    files = (Path(path).expanduser(),) if path else ()
    source = _plain(name, read, None, files, _count(path) if path else None)
    return replace(
        source, data_source=kind.data_source, ability="math", instruct=kind.instruct, adapt=_adapter(kind)
    )


def _adapter(kind: _DataSet) -> Callable[[Row], Mapping[str, Any]]:
    def adapt(row: Row) -> Mapping[str, Any]:
        values = _recognised(row)
        if kind.gold is None or "reward_model" in values:
            return values
        return {**values, "answer": kind.gold(row), "extra_info": {"answer": row.values.get("answer")}}

    return adapt


def _plain(
    name: str,
    rows: Callable[[], Iterator[Row]],
    columns: Columns | None,
    files: tuple[Path, ...] = (),
    total: int | None = None,
) -> Source:
    if columns is not None and (columns.prompt or columns.answer):
        return Source(name=name, rows=rows, columns=columns, files=files, total=total)
    return Source(name=name, rows=rows, adapt=_recognised, files=files, total=total)


def _recognised(row: Row) -> Mapping[str, Any]:
    """The values with the question of the data sets that name it otherwise under `prompt`."""
    values = row.values
    asked = next((name for name in ("prompt", "problem", "question") if name in values), None)
    return values if asked in (None, "prompt") else {**values, "prompt": values[asked]}


def _count(path: str) -> int | None:
    """The number of rows, where the file says it without being read."""
    file = Path(path).expanduser()
    if file.suffix.lower() != ".parquet" or not file.is_file():
        return None
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(file).num_rows)
    except pyarrow.ArrowInvalid:  # read_rows will say it better
        return None


def evaluations_from(specs: Sequence[str]) -> tuple[Evaluations, dict[str, int]]:
    """The sets to look for in the training data, and the number of prompts in each."""
    evaluations, sizes = Evaluations(), {}
    for spec in specs:
        for source in sources_of(spec, instruct=False):
            records = [record for record in read_records(source) if not isinstance(record, Unusable)]
            if not records:
                raise UserError(f"--against {spec}: holds no prompt with an answer; check its columns")
            sizes[source.name] = evaluations.add(
                source.name, (WRAPPERS.bare(record.problem) for record in records)
            )
    return evaluations, sizes


def prepare(
    sources: Sequence[Source],
    out: Path,
    settings: PrepareSettings,
    against: Sequence[str] = (),
    progress: Progress = silent,
) -> tuple[Findings, dict[str, Any]]:
    """Writes train.parquet, held_out.parquet and the data card to `out`. Returns what was found and the card.

    Raises UserError if `out` is not empty, or for sources that cannot be used.
    """
    names = [source.name for source in sources]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"the source {repeated} is given twice; name it once")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out: {out} is not an empty folder; name another one or remove it")
    evaluations, sizes = evaluations_from(against)
    preparation = Preparation(sources, settings, WRAPPERS, evaluations if against else None, progress)
    out.mkdir(parents=True, exist_ok=True)
    found = preparation.run(out)
    return found, write_card(out, sources, sizes, settings, found, _provenance())


def _provenance() -> dict[str, str]:
    return {
        "command": shlex.join(["dapo", *sys.argv[1:]]),
        "python": platform.python_version(),
        **{package: version(package) for package in ("dapo", "pyarrow", "datasets")},
    }
