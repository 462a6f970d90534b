"""Compares the flat tables of one output with the nested rows of another.

python layouts.py NESTED OUTPUT reads every folder `DATASET.tables/TABLE` of OUTPUT and the nested rows of
NESTED with pyarrow, DuckDB and Polars, which must find the same values, and compares the tables of
conversations with what NESTED/conversations has: each value of the columns that both have, and each element
of each list, by its ids and numbers.
"""

import datetime
import pathlib
import sys
from collections import Counter

import duckdb
import polars
import pyarrow.dataset

# the lists that lead to the rows of a table, and their numbers
TABLES = {
    "participants": ["participants"],
    "sessions": ["participants", "sessions"],
    "segments": ["participants", "sessions", "segments"],
    "metrics": ["participants", "sessions", "metrics"],
}
NUMBERS = {
    "participants": "participantNumber",
    "sessions": "sessionNumber",
    "segments": "segmentNumber",
    "metrics": "metricNumber",
}


def plain(value):
    """A value as every reader gives it: a map as its entries by key, an object without its nulls."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        return plain(dict(value))
    if isinstance(value, list) and value and all(isinstance(one, dict) and one.keys() == {"key", "value"} for one in value):
        return plain({one["key"]: one["value"] for one in value})
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    return value.isoformat() if isinstance(value, datetime.date) else value


def rows(folder):
    """The rows of a folder, by three readers that must agree on every value."""
    files = f"{folder}/**/*.parquet"
    table = pyarrow.dataset.dataset(folder, partitioning="hive").to_table()
    by_duckdb = duckdb.sql(f"SELECT * FROM read_parquet('{files}', hive_partitioning = true)").to_arrow_table()
    by_polars = polars.read_parquet(files, hive_partitioning=True).to_arrow()
    expected = Counter(repr(sorted(plain(row).items())) for row in table.to_pylist())
    for name, other in (("DuckDB", by_duckdb), ("Polars", by_polars)):
        assert set(other.column_names) == set(table.column_names), (folder, name)
        found = Counter(repr(sorted(plain(row).items())) for row in other.to_pylist())
        assert found == expected, (folder, name, list(found - expected)[:1], list(expected - found)[:1])
    return table.to_pylist()


def elements(value, lists):
    """The elements of lists, each with its numbers from 1."""
    if not lists:
        yield (), value
        return
    for number, element in enumerate(value[lists[0]] or [], 1):
        for numbers, inner in elements(element, lists[1:]):
            yield (number, *numbers), inner


def compare(table, found, nested):
    """How many rows of a table were compared with the elements of the nested rows."""
    lists = TABLES.get(table, [])
    expected = {
        (row["conversationId"], *numbers): element
        for row in nested
        for numbers, element in elements(row, lists)
    }
    keys = ["conversationId"] + [NUMBERS[name] for name in lists]
    by_key = {tuple(row[key] for key in keys): row for row in found}
    assert len(by_key) == len(found), f"{table}: a key comes twice"
    assert by_key.keys() == expected.keys(), f"{table}: other keys"
    for key, element in expected.items():
        row = by_key[key]
        for name, value in element.items():
            if not isinstance(value, (list, dict)) and name in row:
                assert row[name] == value, (table, key, name, row[name], value)
    return len(found)


def main(nested, output):
    of_nested = rows(nested / "conversations")
    compared = 0
    for folder in sorted(output.glob("*.tables/*")):
        found = rows(folder)
        is_known = folder.name in TABLES or folder.name == "conversations"
        if folder.parent.name == "conversations.tables" and is_known:
            compared += compare(folder.name, found, of_nested)
    assert compared > 0, "no tables"
    print(f"{compared} rows equal")


main(*map(pathlib.Path, sys.argv[1:]))
