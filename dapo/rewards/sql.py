"""Text to SQL: the query must return what the gold query returns, on sqlite."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from dapo.types import Completion, Example, Score
from dapo.verify.blocks import after_thinking, blocks_in, fenced_blocks
from dapo.verify.golds import column
from dapo.verify.queries import Database, QueryError, Result
from dapo.verify.results import Comparison, is_ordered

_QUERY = re.compile(r"(?:\s|\(|--[^\n]*\n)*(?:select|with|values)\b", re.IGNORECASE)
_FORMATTING = re.compile(r"\b(?:printf|format)\s*\(", re.IGNORECASE)


@dataclass(frozen=True)
class Reward:
    """1 if the query gives the table the gold query gives, else 0. `Score.answer` is the query.

    The database is a file, named by the column `db_path` or by `db_id` as BIRD and Spider lay them out
    (`db_root/ID/ID.sqlite`, or `db_root/ID.sqlite`), or is made in memory by the script in the column
    `schema`. These columns may stand inside `extra_info`. The connection only reads; a statement that writes,
    attaches or sets anything is refused, and so are several statements, and `printf` where the gold query has
    none: it can be made to run for minutes.

    The order of the rows counts if the gold query orders them. By default a row must be there as often as in
    the gold's result and the columns must have its order. BIRD's own evaluation is `rows="set"`; Spider's
    test suite allows `any_column_order`.

    Raises ValueError if there is no database, or the gold query fails.
    """

    name: ClassVar[str] = "sql"

    db_root: str = ""
    """Folder of the databases; relative paths are looked for in it."""
    block: Literal["last", "first"] = "last"
    """Which fenced block behind the thinking holds the query, where there are several; Yuan3.0 reads the
    first. Blocks marked as SQL go before others, and without any block all of the text is the query."""
    rows: Literal["multiset", "set"] = "multiset"
    """Whether it matters how often a row is there."""
    any_column_order: bool = False
    """Whether the columns may stand in another order."""
    tolerance: float = 1e-6
    """Relative difference up to which two numbers, not both integers, are equal."""
    time_limit_s: float = 10.0
    """Seconds a query may take, the making of a database in memory included."""
    max_rows: int = 100_000
    """How many rows a query may return."""

    def __post_init__(self) -> None:
        if not self.time_limit_s > 0:
            raise ValueError(f"time_limit_s must be above 0 seconds, not {self.time_limit_s}")
        if self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, not {self.max_rows}")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie in [0, 1), not {self.tolerance}; it is relative")

    def __call__(self, completion: Completion, example: Example) -> Score:
        database = self._database(example)
        try:
            gold = _gold_result(database, example.answer, self.time_limit_s, self.max_rows)
        except (QueryError, sqlite3.Error) as error:
            raise ValueError(
                f"the gold query of example {example.id} fails: {error}; mend the row or its database, or "
                "raise time_limit_s or max_rows"
            ) from error
        query = self._query(after_thinking(completion.text))
        if query is None:
            return Score(0.0)
        return Score(float(self._agrees(query, gold, database, example.answer)), answer=query)

    def _agrees(self, query: str, gold: Result, database: Database, gold_query: str) -> bool:
        # A multiset of more rows than the gold's cannot be equal to it.
        most = self.max_rows if self.rows == "set" else max(len(gold.rows), 1)
        try:
            found = database.run(query, self.time_limit_s, most, _formats(gold_query))
        except QueryError:
            return False
        comparison = Comparison(self.rows, self.any_column_order, self.tolerance)
        return comparison.same(found, gold, is_ordered(gold_query))

    def _query(self, text: str) -> str | None:
        blocks = blocks_in(text, ("sql", "sqlite")) or blocks_in(text, ("",))
        queries = [block.text.strip() for block in blocks if block.text.strip()]
        if queries:
            return queries[-1 if self.block == "last" else 0]
        return text.strip() if _QUERY.match(text) and not fenced_blocks(text) else None

    def _database(self, example: Example) -> Database:
        for path in self._places(example):
            if path.is_file():
                return Database.file(path)
        script = column(example, "schema")
        if isinstance(script, str) and script.strip():
            return Database(script=script)
        places = ", ".join(map(str, self._places(example)))
        raise ValueError(
            f"example {example.id} has no database: "
            + (f"there is none of {places}; set db_root" if places else "give db_id, db_path or schema")
        )

    def _places(self, example: Example) -> Iterator[Path]:
        root = Path(self.db_root).expanduser()
        path, name = column(example, "db_path"), column(example, "db_id")
        if isinstance(path, str) and path:
            yield root / path
        if isinstance(name, str) and name:
            for ending in ("sqlite", "db"):
                yield root / name / f"{name}.{ending}"
                yield root / f"{name}.{ending}"


@lru_cache(maxsize=4)
def _gold_result(database: Database, query: str, time_limit_s: float, max_rows: int) -> Result:
    """The gold query's result, which all completions of a group are held against."""
    return database.run(query, time_limit_s, max_rows, formatting=True)


def _formats(query: str) -> bool:
    return _FORMATTING.search(query) is not None
