"""Compares a dataset in Parquet with the sandbox's truth, through readers that are not ours.

    reader.py FOLDER TRUTH VERSION ROW_GROUP_ROWS

FOLDER holds `date=YYYY-MM-DD/*.parquet`, TRUTH is NDJSON; the files should be of the program's VERSION and have
at most ROW_GROUP_ROWS rows a row group. Prints `N rows equal`, or the first differences, each with its path.
"""

import json
import sys
from collections import Counter
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

UTC_MS = pa.timestamp("ms", tz="UTC")

# the id and the time of the rows in a folder of that name
KEYS = {"cases": ("caseId", "openedAt")}
CONVERSATION = ("conversationId", "conversationStart")


def present(value):
    """The value without the keys that hold nothing: Arrow has them all, JSON leaves them out."""
    if isinstance(value, dict):
        return {key: present(inner) for key, inner in value.items() if inner is not None}
    return [present(inner) for inner in value] if isinstance(value, list) else value


def timed(value, kind):
    """JSON with times where `kind` has them. What `kind` has no place for stays, and is missed later."""
    if kind == UTC_MS:
        return datetime.fromisoformat(value)
    if pa.types.is_struct(kind):
        types = {field.name: field.type for field in kind}
        return {key: timed(inner, types.get(key, pa.null())) for key, inner in value.items()}
    return [timed(inner, kind.value_type) for inner in value] if pa.types.is_list(kind) else value


def differences(path, stored, told):
    """Where two values differ, down to the field. Numbers are equal exactly, and no truth value is a number."""
    if isinstance(stored, dict) and isinstance(told, dict):
        for key in sorted(stored.keys() | told.keys()):
            yield from differences(f"{path}.{key}", stored.get(key), told.get(key))
    elif isinstance(stored, list) and isinstance(told, list) and len(stored) == len(told):
        for index, pair in enumerate(zip(stored, told)):
            yield from differences(f"{path}[{index}]", *pair)
    elif stored != told or isinstance(stored, bool) != isinstance(told, bool):
        yield f"{path}: stored {stored!r}, told {told!r}"


def file_faults(path, file, rows, time, dataset, version, group_rows):
    """What is wrong with a file beside its rows: metadata, codec, row groups, and where it lies."""
    entries = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    begin, end = map(datetime.fromisoformat, entries.pop("cxbackfill.interval").split("/"))
    ours = {key: value for key, value in entries.items() if key.startswith("cxbackfill.")}
    known = {"cxbackfill.dataset": dataset, "cxbackfill.schema_version": "1", "cxbackfill.version": version}
    yield from differences(f"{path}: metadata", ours, known)
    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        codecs = {group.column(index).compression for index in range(group.num_columns)}
        yield from differences(f"{path}: codecs", codecs, {"ZSTD"})
        if group.num_rows > group_rows:
            yield f"{path}: {group.num_rows} rows in a row group, not {group_rows} at most"
    for row in rows:
        start = row[time]
        if not begin <= start < end or path.parent.name != f"date={start:%Y-%m-%d}":
            yield f"{path}: holds a row of {start}"


def row_faults(stored, truth, schema, id):
    """Where the rows are not the truth: each of them once, and each of its fields equal."""
    kind = pa.struct(list(schema))
    told = {row[id]: timed(present(row), kind) for row in truth}
    copies = Counter(row[id] for row in stored)
    for key in sorted(copies.keys() | told.keys()):
        if (copies[key], key in told) != (1, True):
            yield f"{key}: stored {copies[key]} times, and {'told' if key in told else 'not told'}"
    for row in stored:
        yield from differences(row[id], row, told.get(row[id], row))


def engine_faults(folder, truth, time):
    """What DuckDB and Polars make of the files: rows, days, and a field inside a list of structs."""
    glob = f"{folder}/**/*.parquet"
    files = duckdb.read_parquet(glob, hive_partitioning=True)
    days = dict(duckdb.sql("SELECT date::VARCHAR, count(*) FROM files GROUP BY ALL").fetchall())
    yield from differences("duckdb: rows a day", days, Counter(row[time][:10] for row in truth))
    if "participants" in files.columns:
        purposes = "SELECT p.purpose, count(*) FROM (SELECT unnest(participants) AS p FROM files) GROUP BY ALL"
        told = Counter(participant["purpose"] for row in truth for participant in row["participants"])
        yield from differences("duckdb: purposes", dict(duckdb.sql(purposes).fetchall()), told)
    rows = polars.scan_parquet(glob, hive_partitioning=True).select(polars.len()).collect().item()
    yield from differences("polars: rows", rows, len(truth))


def main(folder, truth, version, group_rows):
    truth = [json.loads(line) for line in Path(truth).read_text(encoding="utf-8").split("\n") if line]
    files = {path: pq.ParquetFile(path) for path in sorted(Path(folder).rglob("*.parquet"))}
    rows = {path: present(file.read().to_pylist(maps_as_pydicts="strict")) for path, file in files.items()}
    schema = pa.unify_schemas([file.schema_arrow for file in files.values()])
    id, time = KEYS.get(Path(folder).name, CONVERSATION)
    expected = (time, Path(folder).name, version, int(group_rows))
    faults = chain(
        row_faults(list(chain.from_iterable(rows.values())), truth, schema, id),
        *(file_faults(path, file, rows[path], *expected) for path, file in files.items()),
        engine_faults(folder, truth, time),
    )
    first = list(islice(faults, 10))
    print(*first or [f"{len(truth)} rows equal"], sep="\n")
    return bool(first)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
