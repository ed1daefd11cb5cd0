"""`dapo data prepare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dapo.data.columns import Columns
from dapo.data.prepare.pipeline import PrepareSettings
from dapo.data.progress import bar
from dapo.jobs.prepare import prepare, sources_of
from dapo.recipe.settings import build


def run(
    specs: Sequence[str],
    out: Path,
    against: Sequence[str],
    settings: Mapping[str, Any],
    columns: Mapping[str, str | None],
    instructions: bool,
) -> None:
    """Prepare the sources and say in a few lines what became of their rows."""
    wanted = build(PrepareSettings, settings, "")
    named = build(Columns, columns, "")
    sources = [source for spec in specs for source in sources_of(spec, named, instructions)]
    with bar() as progress:
        found, card = prepare(sources, out, wanted, against, progress)
    print(f"{found.rows:,} rows, {found.prompts:,} different prompts")
    for reason, count in found.dropped.items():
        print(f"  dropped  {count:>9,}  {reason}")
    for file in card["files"]:
        print(f"  written  {file['rows']:>9,}  {out / file['name']}")
    print(f"prompts with several answers: {len(found.conflicts):,}")
    print(f"rows in which LaTeX commands were put back: {found.repaired_rows:,}")
    if against:
        print(
            f"{found.contaminated:,} prompts hold at least {wanted.min_share:.0%} of an evaluation prompt; "
            f"{len(found.hits):,} share eight words in a row"
        )
    print(f"the data card is {out / 'README.md'}")
