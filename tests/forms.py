"""Compares the rows of Parquet files with values that were written by hand, through readers that are not ours.

    forms.py FOLDER EXPECTED

EXPECTED is JSON: the rows in order of `id`, with times as texts in UTC and microseconds. Prints the name of each reader
that finds exactly these rows, or the first differences.
"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import polars
import pyarrow.parquet as pq


def plain(value):
    """The value as JSON has it. A map is an object, and so are the pairs that some readers make of it."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and one.keys() == {"key", "value"} for one in value):
            return {one["key"]: plain(one["value"]) for one in value}
        if value and all(isinstance(one, tuple) for one in value):
            return {key: plain(inner) for key, inner in value}
        return [plain(one) for one in value]
    return value


def text(value):
    """The value as a text in which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


def main(folder, expected):
    expected = json.loads(expected)
    paths = sorted(map(str, Path(folder).rglob("*.parquet")))
    table = duckdb.sql(f"SELECT * FROM read_parquet({paths}, hive_partitioning = false)").arrow()
    table = table.read_all() if hasattr(table, "read_all") else table
    rows = {
        "pyarrow": [row for path in paths for row in pq.read_table(path, partitioning=None).to_pylist()],
        "duckdb": table.to_pylist(),
        "polars": polars.read_parquet(paths, hive_partitioning=False).to_dicts(),
    }
    for reader, found in rows.items():
        found = sorted(map(plain, found), key=lambda row: row["id"])
        faults = [
            f"{column} of {told['id']}: {row.get(column)!r}, not {told.get(column)!r}"
            for row, told in zip(found, expected)
            for column in sorted(row.keys() | told.keys())
            if text(row.get(column)) != text(told.get(column))
        ]
        if len(found) != len(expected):
            faults.append(f"{len(found)} rows, not {len(expected)}")
        print(f"{reader}: " + ("; ".join(faults[:5]) or "equal"))


if __name__ == "__main__":
    main(*sys.argv[1:])
