from __future__ import annotations

import math
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dapo.rewards.sql import Reward
from dapo.types import Completion, Example, Score
from dapo.verify.queries import Database

SCHEMA = """
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
CREATE TABLE city (name TEXT, country TEXT, people INTEGER, area REAL);
INSERT INTO city VALUES ('Paris', 'France', 2100000, 105.4), ('Lyon', 'France', 520000, 47.87);
INSERT INTO city VALUES ('Bern', 'Switzerland', 134000, NULL), ('Thun', 'Switzerland', 43000, 21.58);
COMMIT;
"""


def judge(text: str, gold: str, reward: Reward | None = None, **columns: Any) -> Score:
    example = Example("x", [], gold, columns or {"schema": SCHEMA})
    return (reward or Reward())(Completion([], [], [], [], "eos", text), example)


def right(query: str, gold: str, reward: Reward | None = None) -> bool:
    score = judge(f"So:\n```sql\n{query}\n```", gold, reward)
    assert score.answer == query.strip()
    return score.score == 1


@pytest.mark.parametrize(
    ("query", "gold", "equal"),
    [
        ("SELECT name FROM city WHERE people > 1e6;", "SELECT name FROM city WHERE name = 'Paris'", True),
        ("SELECT 'Paris' -- guessed\n", "SELECT name FROM city WHERE people > 1000000", True),
        ("SELECT name FROM city", "SELECT name FROM city WHERE people > 1000000", False),
        # The order counts only where the gold has one.
        ("SELECT name FROM city ORDER BY name DESC", "SELECT name FROM city", True),
        ("SELECT name FROM city ORDER BY name", "SELECT name FROM city ORDER BY name DESC", False),
        ("SELECT name FROM city ORDER BY people DESC", "SELECT name FROM city ORDER BY people", False),
        (
            "SELECT name FROM city ORDER BY name DESC",
            "SELECT name FROM (SELECT name FROM city ORDER BY people) /* ORDER BY */ -- order by 1",
            True,
        ),
        ("SELECT 1 UNION SELECT 2 ORDER BY 1 DESC", "SELECT 1 UNION SELECT 2 ORDER BY 1", False),
        # Rows as often as they are there.
        ("SELECT DISTINCT country FROM city", "SELECT country FROM city", False),
        ("SELECT country FROM city", "SELECT DISTINCT country FROM city", False),
        # NULL is a value of its own.
        ("SELECT area FROM city WHERE name = 'Bern'", "SELECT NULL", True),
        ("SELECT 0", "SELECT NULL", False),
        ("SELECT ''", "SELECT NULL", False),
        # Numbers.
        ("SELECT 1", "SELECT 1.0", True),
        ("SELECT 0.1 + 0.2", "SELECT 0.3", True),
        ("SELECT 0.3001", "SELECT 0.3", False),
        ("SELECT '1'", "SELECT 1", False),
        ("SELECT 9007199254740993", "SELECT 9007199254740992", False),
        ("SELECT SUM(area) / 3 FROM city", "SELECT AVG(area) FROM city", True),
        ("SELECT name, 0.3 FROM city", "SELECT name, 0.1 + 0.2 FROM city", True),
        (
            "SELECT 'a', 0.3 UNION ALL SELECT 'b', 0.1 + 0.2",
            "SELECT 'a', 0.1 + 0.2 UNION ALL SELECT 'b', 0.3",
            True,
        ),
        # Columns in the order of the gold.
        ("SELECT country, name FROM city", "SELECT name, country FROM city", False),
        ("SELECT name, name FROM city", "SELECT name FROM city", False),
        # No rows, but as many columns.
        ("SELECT name FROM city WHERE 0", "SELECT name FROM city WHERE people < 0", True),
        ("SELECT name, area FROM city WHERE 0", "SELECT name FROM city WHERE people < 0", False),
        ("SELECT name FROM city", "SELECT name FROM city WHERE people < 0", False),
        ("WITH big AS (SELECT * FROM city) SELECT COUNT(*) FROM big", "SELECT 4", True),
        ("SELEC name FROM city", "SELECT name FROM city", False),
    ],
)
def test_two_queries_are_equal_if_their_results_are(query: str, gold: str, equal: bool) -> None:
    assert right(query, gold) is equal


def test_sets_of_rows_as_bird_compares_them() -> None:
    assert right("SELECT country FROM city", "SELECT DISTINCT country FROM city", Reward(rows="set"))
    assert right(
        "SELECT name FROM city ORDER BY 1", "SELECT name FROM city ORDER BY 1 DESC", Reward(rows="set")
    )
    assert not right("SELECT 'France'", "SELECT DISTINCT country FROM city", Reward(rows="set"))


@pytest.mark.parametrize(
    ("query", "gold", "equal"),
    [
        ("SELECT country, name FROM city", "SELECT name, country FROM city", True),
        ("SELECT people, name, area FROM city", "SELECT area, people, name FROM city", True),
        # The same columns, but the values stand in other rows.
        ("SELECT 1, 3 UNION ALL SELECT 2, 4", "SELECT 4, 1 UNION ALL SELECT 3, 2", False),
        ("SELECT 1, 3 UNION ALL SELECT 2, 4", "SELECT 4, 2 UNION ALL SELECT 3, 1", True),
        ("SELECT 1, 3 UNION ALL SELECT 2, 4", "SELECT 4, 2 UNION ALL SELECT 3, 1 ORDER BY 1 DESC", False),
        ("SELECT 1, 1, 2", "SELECT 1, 2, 1", True),
        ("SELECT 1, 1, 2", "SELECT 1, 2, 2", False),
        ("SELECT 0.1 + 0.2, 'a'", "SELECT 'a', 0.3", True),
    ],
)
def test_columns_in_any_order_as_spiders_test_suite_allows(query: str, gold: str, equal: bool) -> None:
    assert right(query, gold, Reward(any_column_order=True)) is equal


def test_many_columns_are_put_in_order_without_trying_all_orders() -> None:
    rows = [[str(row * column % 7) for column in range(1, 13)] for row in range(20)]
    gold = " UNION ALL ".join("SELECT " + ", ".join(row) for row in rows)
    turned = " UNION ALL ".join("SELECT " + ", ".join(reversed(row)) for row in rows)
    assert right(turned, gold, Reward(any_column_order=True))
    assert not right(turned, gold)


@pytest.mark.parametrize(
    ("text", "block", "answer"),
    [
        ("```sql\nSELECT 1\n```\n```sql\nSELECT 2\n```", "last", "SELECT 2"),
        ("```sql\nSELECT 1\n```\n```sql\nSELECT 2\n```", "first", "SELECT 1"),
        ("```sql\nSELECT 1\n```\n```\n1\n```", "last", "SELECT 1"),
        ("```sql\nSELECT 1\n```\n```sql\n```", "last", "SELECT 1"),
        ("```\nSELECT 1\n```", "last", "SELECT 1"),
        ("<think>```sql\nSELECT 2\n```</think>```SQL\nSELECT 1\n```", "last", "SELECT 1"),
        ("<think>SELECT 2</think>\nSELECT 1;\n", "last", "SELECT 1;"),
        (" -- count\n(SELECT 1)", "last", "-- count\n(SELECT 1)"),
        ("```python\nSELECT 1\n```", "last", None),
        ("One should SELECT 1", "last", None),
        ("<think>SELECT 1", "last", None),
        ("", "last", None),
    ],
)
def test_where_the_query_stands(text: str, block: Any, answer: str | None) -> None:
    score = judge(text, "SELECT 1", Reward(block=block))
    assert score.answer == answer
    assert score.score == float(answer in ("SELECT 1", "SELECT 1;"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in (tmp_path / "cities" / "cities.sqlite", tmp_path / "flat%20 #1.sqlite"):
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)
    return tmp_path


@pytest.mark.parametrize(
    "columns",
    [
        {"db_id": "cities"},
        {"db_id": "flat%20 #1"},
        {"db_path": "cities/cities.sqlite"},
        {"extra_info": {"db_id": "cities", "question_id": 3}},
        {"db_id": "missing", "schema": SCHEMA},
    ],
)
def test_where_the_database_is(root: Path, columns: dict[str, Any]) -> None:
    gold = "SELECT name FROM city"
    assert judge("SELECT name FROM city", gold, Reward(db_root=str(root)), **columns).score == 1
    assert judge("SELECT area FROM city", gold, Reward(db_root=str(root)), **columns).score == 0


def test_a_database_that_changes_is_another(root: Path) -> None:
    reward, gold = Reward(db_root=str(root)), "SELECT COUNT(*) FROM city"
    assert judge("SELECT 4", gold, reward, db_id="cities").score == 1
    with closing(sqlite3.connect(root / "cities" / "cities.sqlite")) as connection:
        connection.executescript("DELETE FROM city WHERE name = 'Thun'")
    assert judge("SELECT 3", gold, reward, db_id="cities").score == 1


WRITES = [
    "DELETE FROM city",
    "DELETE FROM city RETURNING 1",
    "DROP TABLE city",
    "INSERT INTO city SELECT * FROM city",
    "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "ATTACH DATABASE '{root}/new.sqlite' AS other",
    "VACUUM INTO '{root}/new.sqlite'",
    "PRAGMA user_version = 7",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA table_info(city)",
    "SELECT load_extension('x')",
    "BEGIN",
    "SELECT 1; SELECT 1",
    "SELECT 1; DROP TABLE city",
    "EXPLAIN DELETE FROM city",
]


@pytest.mark.parametrize("query", WRITES)
def test_nothing_but_reading_is_allowed(root: Path, query: str) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    text = f"```sql\n{query.format(root=root)}\n```"
    for columns in ({"db_id": "cities"}, {"schema": SCHEMA}):
        score = judge(text, "SELECT 1", Reward(db_root=str(root)), **columns)
        assert score.score == 0 and score.answer
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_the_file_itself_is_opened_for_reading_only(root: Path) -> None:
    database = Database.file(root / "cities" / "cities.sqlite")
    with (
        closing(database._open(deadline=math.inf)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("CREATE TABLE t (x)")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="sqlite3 sets no limits before Python 3.11")
def test_a_cell_has_a_limit() -> None:
    assert not right("SELECT length(zeroblob(100000000))", "SELECT 100000000")


@pytest.mark.parametrize("statement", ["ATTACH '{root}/new.sqlite' AS o", "VACUUM INTO '{root}/new.sqlite'"])
def test_a_schema_reaches_no_file(tmp_path: Path, statement: str) -> None:
    with pytest.raises(
        ValueError, match=r"the gold query of example x fails: (not authorized|authorization denied)"
    ):
        judge("SELECT 1", "SELECT 1", schema=statement.format(root=tmp_path))
    assert not list(tmp_path.iterdir())


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "


@pytest.mark.parametrize("query", [ENDLESS + "COUNT(*) FROM n", ENDLESS + "MAX(i) FROM n WHERE i < 0"])
def test_a_query_without_end_is_stopped(query: str) -> None:
    began = time.process_time()
    assert not right(query, "SELECT 1", Reward(time_limit_s=0.2))
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "query",
    [
        ENDLESS + "i FROM n",
        "SELECT zeroblob(1000000000)",
        "SELECT printf('%.*c', 500000000, 'x')",
        "SELECT hex(zeroblob(10000000)) LIKE '" + "%0" * 5000 + "x'",
        "SELECT '" + "x" * 100_000 + "'",
        "SELECT " + "(" * 50_000 + "1" + ")" * 50_000,
        "SELECT " + "-" * 50_001 + "1",
        "SELECT ?",
        "SELECT '\0'",
        "SELECT '\ud800'",
        "SELECT 9**9**9",
        "SELECT " + ", ".join("1" * 3000),
        "SELECT * FROM city a, city b, city c, city d, city e, city f, city g, city h, city i, city j",
    ],
)
@pytest.mark.parametrize(
    "reward", [Reward(time_limit_s=1), Reward(time_limit_s=1, rows="set", max_rows=1000)]
)
def test_strange_queries_are_wrong_and_nothing_else(query: str, reward: Reward) -> None:
    began = time.process_time()
    assert judge(f"```sql\n{query}\n```", "SELECT 1", reward).score == 0
    assert time.process_time() - began < 2.5


def test_formatting_is_allowed_where_the_gold_does_it() -> None:
    query = "SELECT printf('%.1f', area) FROM city"
    assert right(query, "SELECT PRINTF ('%.1f', area) FROM city")
    assert not right("SELECT printf('%d', 1)", "SELECT '1'")


def test_text_that_is_no_utf8() -> None:
    assert right("SELECT CAST(x'ff' AS TEXT)", "SELECT CAST(x'ff' AS TEXT)")
    assert not right("SELECT CAST(x'fe' AS TEXT)", "SELECT CAST(x'ff' AS TEXT)")


def test_rows_that_cannot_be_graded_say_why() -> None:
    with pytest.raises(ValueError, match=r"there is none of nowhere/a/a\.sqlite, .*; set db_root"):
        judge("SELECT 1", "SELECT 1", Reward(db_root="nowhere"), db_id="a")
    with pytest.raises(ValueError, match="give db_id, db_path or schema"):
        judge("SELECT 1", "SELECT 1", other="x")
    with pytest.raises(ValueError, match="fails: no such table: town; mend the row"):
        judge("SELECT 1", "SELECT * FROM town")
    with pytest.raises(ValueError, match="returns more than 3 rows"):
        judge("SELECT 1", "SELECT * FROM city", Reward(max_rows=3))
    with pytest.raises(ValueError, match=r"took longer than 0\.2 s"):
        judge("SELECT 1", ENDLESS + "COUNT(*) FROM n", Reward(time_limit_s=0.2))
    with pytest.raises(ValueError, match="fails: near"):
        judge("SELECT 1", "SELECT 1", schema="CREATE TABEL x")
    for settings in ({"time_limit_s": 0}, {"max_rows": 0}, {"tolerance": 1}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Reward(**settings)
