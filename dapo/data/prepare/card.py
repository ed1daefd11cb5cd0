"""The data card: what the prepared files are made of, for people (README.md) and for programs (card.json)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dapo.data.prepare.pipeline import Findings, PrepareSettings
from dapo.data.prepare.records import Source

_SHOWN = 10
"""Conflicts and hits in README.md; the JSON files hold all of them."""
_EXCERPT = 160


def write_card(
    directory: Path,
    sources: Sequence[Source],
    evaluations: Mapping[str, int],
    settings: PrepareSettings,
    found: Findings,
    provenance: Mapping[str, str],
) -> dict[str, Any]:
    """Writes README.md, card.json, and the lists conflicts.jsonl and contamination.jsonl. Returns card.json.

    `evaluations` holds the number of prompts by evaluation set, `provenance` the command and the versions.
    """
    card = _card(directory, sources, evaluations, settings, found, provenance)
    lists = {"conflicts.jsonl": found.conflicts, "contamination.jsonl": found.hits}
    for name, records in lists.items():
        if records:
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            (directory / name).write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (directory / "card.json").write_text(text, encoding="utf-8", errors="backslashreplace")
    readme = "\n".join(_readme(card, found)) + "\n"
    (directory / "README.md").write_text(readme, encoding="utf-8", errors="backslashreplace")
    return card


def _card(
    directory: Path,
    sources: Sequence[Source],
    evaluations: Mapping[str, int],
    settings: PrepareSettings,
    found: Findings,
    provenance: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "files": [
            {"name": f"{name}.parquet", "rows": rows, "sha256": sha256(directory / f"{name}.parquet")}
            for name, rows in found.written.items()
        ],
        "sources": [
            {
                "name": source.name,
                "rows": found.per_source[source.name],
                "files": [{"path": str(path), "sha256": sha256(path)} for path in source.files],
                "notes": list(source.notes),
            }
            for source in sources
        ],
        "rows": {
            "read": found.rows,
            "prompts": found.prompts,
            "dropped": dict(found.dropped),
            "written": dict(found.written),
        },
        "dropped_examples": found.examples,
        "conflicts": {"prompts": len(found.conflicts), "kept": _kept(found), "policy": settings.conflicts},
        "repairs": {
            "rows": found.repaired_rows,
            "commands": dict(found.commands.most_common()),
            "rows_with_control_characters_left": found.control_rows,
            "control_characters_left": dict(found.control.most_common()),
        },
        "contamination": {
            "against": dict(evaluations),
            "rows_sharing_8_words": len(found.hits),
            "rows_contaminated": found.contaminated,
            "min_share": settings.min_share,
        },
        "languages": dict(found.languages.most_common()),
        "length": {"characters": _quantiles(found.characters), "words": _quantiles(found.words)},
        "settings": asdict(settings),
        "provenance": dict(provenance),
    }


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def _kept(found: Findings) -> int:
    return sum(conflict["kept"] is not None for conflict in found.conflicts)


def _quantiles(lengths: Sequence[int]) -> dict[str, float]:
    values = np.asarray(lengths)
    if not values.size:
        return {}
    places = {"min": 0, "p5": 5, "median": 50, "p95": 95, "max": 100}
    found = {name: int(np.percentile(values, place, method="inverted_cdf")) for name, place in places.items()}
    return found | {"mean": round(float(values.mean()), 1)}


def _readme(card: Mapping[str, Any], found: Findings) -> Iterator[str]:
    yield "# Prepared data"
    yield ""
    yield from _table(
        ("file", "rows", "sha256"), ((f["name"], f["rows"], f["sha256"]) for f in card["files"])
    )
    yield from ("", "Rows have verl's columns; train on a file with `data.train: train.parquet`.")
    yield from ("", "## Sources", "")
    yield from _table(("source", "rows", "sha256"), _source_rows(card["sources"]))
    yield from (f"- {source['name']}: {note}" for source in card["sources"] for note in source["notes"])
    yield from ("", "## Rows", "")
    yield from _table(("stage", "rows"), _stages(card["rows"]))
    for reason, places in card["dropped_examples"].items():
        yield f"- {reason}: {'; '.join(places)}"
    yield from ("", "## Prompts with several answers", "")
    conflicts = card["conflicts"]
    yield f"{conflicts['prompts']:,} prompts, {conflicts['kept']:,} of them kept (`{conflicts['policy']}`)."
    for conflict in found.conflicts[:_SHOWN]:
        answers = ", ".join(f"{_short(a['answer'])} ({a['rows']})" for a in conflict["answers"])
        yield f"- {_short(conflict['prompt'])}: {answers}"
    yield from ("", "## Repaired LaTeX, and control characters", "")
    repairs = card["repairs"]
    yield f"Commands were put back in {repairs['rows']:,} rows: {_counts(repairs['commands'])}."
    left = repairs["control_characters_left"]
    rows = repairs["rows_with_control_characters_left"]
    yield f"{rows:,} rows hold other control characters: {_counts(left)}."
    yield from ("", "## Shared with evaluation sets", "")
    yield from _contamination(card["contamination"], found)
    yield from ("", "## Texts", "", f"Languages: {_counts(card['languages'])}.", "")
    lengths = card["length"]
    yield from _table(
        ("unit", *lengths["words"]), ((unit, *figures.values()) for unit, figures in lengths.items())
    )
    yield from ("", "## How it was made", "", "```", card["provenance"]["command"], "```", "")
    yield from (f"- {name} {value}" for name, value in card["provenance"].items() if name != "command")


def _source_rows(sources: Iterable[Mapping[str, Any]]) -> Iterator[tuple[object, ...]]:
    for source in sources:
        yield source["name"], source["rows"], " ".join(file["sha256"] for file in source["files"]) or "hub"


def _stages(rows: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    yield "read", rows["read"]
    for reason, count in rows["dropped"].items():
        yield f"dropped: {reason}", count
    for name, count in rows["written"].items():
        yield f"written to {name}.parquet", count


def _contamination(figures: Mapping[str, Any], found: Findings) -> Iterator[str]:
    if not figures["against"]:
        yield "Not looked for; name sets with `--against`."
        return
    yield (
        f"Against {_counts(figures['against'])} prompts: {figures['rows_sharing_8_words']:,} rows share "
        f"eight words in a row, {figures['rows_contaminated']:,} hold at least {figures['min_share']:.0%} "
        "of the 8-grams of an evaluation prompt."
    )
    worst = sorted(found.hits, key=lambda hit: -hit["share"])
    for hit in worst[:_SHOWN]:
        where = f"{hit['evaluation']}, row {hit['prompt']}"
        yield f"- {hit['row']}: {hit['share']:.0%} of {where}: {_short(hit['text'])}"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        cells = (f"{cell:,}" if isinstance(cell, (int, float)) else str(cell) for cell in row)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'unknown'} {count:,}" for name, count in counts.items()) or "none"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"`{line if len(line) <= _EXCERPT else line[:_EXCERPT] + ' …'}`"
