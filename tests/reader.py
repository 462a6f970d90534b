"""Compares datasets in Parquet with the sandbox's truth, through readers that are not ours.

    reader.py CASES VERSION ROW_GROUP_ROWS

CASES is a JSON list: of each dataset the `folder`, which holds `date=YYYY-MM-DD/*.parquet`, the `truth`, which is
NDJSON, its `id` columns, its `time` column, and of a snapshot that was `taken` in an interval, the two ends: then the
truth has no time. Files should be of the program's VERSION and have at most ROW_GROUP_ROWS rows a row group. Prints
`DATASET: N rows equal`, a line each, or the first differences, each with its path.
"""

import json
import re
import sys
from collections import Counter
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

UTC_US = pa.timestamp("us", tz="UTC")
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
TRUTHS = {"true": True, "false": False}


def present(value):
    """The value without the keys that hold nothing: Arrow has them all, JSON leaves them out."""
    if isinstance(value, dict):
        return {key: present(inner) for key, inner in value.items() if inner is not None}
    return [present(inner) for inner in value] if isinstance(value, list) else value


def typed(value, kind):
    """JSON with times where `kind` has them, and what its texts mean where it has none. What `kind` has no place for
    stays, and is missed later."""
    if kind == UTC_US:
        return datetime.fromisoformat(value.split("/")[0])
    if pa.types.is_struct(kind):
        types = {field.name: field.type for field in kind}
        return {key: typed(inner, types.get(key, pa.null())) for key, inner in value.items()}
    if pa.types.is_list(kind):
        return [typed(inner, kind.value_type) for inner in value]
    if isinstance(value, str) and pa.types.is_int64(kind):
        return int(value)
    if isinstance(value, str) and pa.types.is_float64(kind):
        return seconds(value) if value.startswith("P") else float(value)
    return TRUTHS[value.lower()] if isinstance(value, str) and pa.types.is_boolean(kind) else value


def seconds(duration):
    """An ISO 8601 duration in seconds."""
    parts = (float(part or 0) for part in DURATION.fullmatch(duration).groups())
    return sum(part * unit for part, unit in zip(parts, (86_400, 3_600, 60, 1)))


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


def file_faults(path, file, rows, case, version, group_rows):
    """What is wrong with a file beside its rows: metadata, codec, row groups, and where it lies."""
    dataset, time = Path(case["folder"]).name, case["time"]
    entries = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    begin, end = map(datetime.fromisoformat, entries.pop("cxbackfill.interval").split("/"))
    counts = json.loads(entries.pop("cxbackfill.counts"))
    if counts["received"] != sum(counts.values()) - counts["received"] or counts["written"] != len(rows):
        yield f"{path}: metadata: counts {counts} do not balance with {len(rows)} rows"
    if entries.pop("cxbackfill.commit_files") != ("2" if counts["quarantined"] else "1"):
        yield f"{path}: metadata: the commit has another number of files"
    if not entries.pop("cxbackfill.commit"):
        yield f"{path}: metadata: no commit"
    if not json.loads(entries.pop("cxbackfill.job")):
        yield f"{path}: metadata: no job"
    if not 0 <= int(entries.pop("cxbackfill.open_rows")) <= len(rows):
        yield f"{path}: metadata: more open rows than rows"
    doubts = [doubt["kind"] for doubt in json.loads(entries.pop("cxbackfill.doubts"))]
    if counts["quarantined"] and "quarantined" not in doubts:
        yield f"{path}: metadata: rows are quarantined, and the doubts are {doubts}"
    ours = {key: value for key, value in entries.items() if key.startswith("cxbackfill.")}
    known = {"cxbackfill.dataset": dataset, "cxbackfill.schema_version": str(case["version"]), "cxbackfill.version": version}
    yield from differences(f"{path}: metadata", ours, known)
    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        codecs = {group.column(index).compression for index in range(group.num_columns)}
        yield from differences(f"{path}: codecs", codecs - {"ZSTD", "UNCOMPRESSED"}, set())
        if group.num_rows > group_rows:
            yield f"{path}: {group.num_rows} rows in a row group, not {group_rows} at most"
    orders = [group.sorting_columns for group in map(file.metadata.row_group, range(file.num_row_groups))]
    declared = {file.schema.column(column.column_index).path for order in orders for column in order}
    times = [row[time] for row in rows]
    if times == sorted(times):
        # dropping copies may bring rows in order that did not come so
        if not all(orders) and not counts["duplicate"]:
            yield f"{path}: its rows are in order of time, and it does not say so"
    elif any(orders):
        yield f"{path}: says that its rows are sorted by {declared}, and they are not"
    if declared - {time}:
        yield f"{path}: says that its rows are sorted by {declared}"
    for row in rows:
        if not begin <= row[time] < end or path.parent.name != f"date={row[time]:%Y-%m-%d}":
            yield f"{path}: holds a row of {row[time]}"


def row_faults(stored, told, columns):
    """Where the rows are not the truth: each id once, and each of its fields equal."""

    def key(row):
        return ", ".join(str(row.get(column)) for column in columns)

    copies, known = Counter(map(key, stored)), {key(row): row for row in told}
    times = Counter(map(key, told))
    for name in sorted(copies.keys() | times.keys()):
        if (copies[name], times[name]) != (1, 1):
            yield f"{name}: stored {copies[name]} times, told {times[name]} times"
    for row in stored:
        yield from differences(key(row), row, known.get(key(row), row))


def engine_faults(folder, told, time):
    """What DuckDB and Polars make of the files: rows, days, and a field inside a list of structs."""
    glob = f"{folder}/**/*.parquet"
    files = duckdb.read_parquet(glob, hive_partitioning=True)
    days = dict(duckdb.sql("SELECT date::VARCHAR, count(*) FROM files GROUP BY ALL").fetchall())
    yield from differences("duckdb: rows a day", days, Counter(f"{row[time]:%Y-%m-%d}" for row in told))
    if "participants" in files.columns:
        purposes = "SELECT p.purpose, count(*) FROM (SELECT unnest(participants) AS p FROM files) GROUP BY ALL"
        found = Counter(participant["purpose"] for row in told for participant in row["participants"])
        yield from differences("duckdb: purposes", dict(duckdb.sql(purposes).fetchall()), found)
    rows = polars.scan_parquet(glob, hive_partitioning=True).select(polars.len()).collect().item()
    yield from differences("polars: rows", rows, len(told))


def snapshot_faults(stored, told, time, taken):
    """Where rows are not of one instant within the run; the truth gets that instant."""
    instants = {row[time] for row in stored}
    begin, end = map(datetime.fromisoformat, taken)
    if len(instants) != 1 or not all(begin <= instant <= end for instant in instants):
        yield f"taken at {sorted(map(str, instants))}, not once between {begin} and {end}"
    for row in told:
        row[time] = next(iter(instants), None)


def compare(case, version, group_rows):
    """How many rows of a dataset are equal, or the first differences."""
    folder, time = Path(case["folder"]), case["time"]
    files = {path: pq.ParquetFile(path) for path in sorted(folder.rglob("*.parquet"))}
    rows = {path: present(file.read().to_pylist(maps_as_pydicts="strict")) for path, file in files.items()}
    kind = pa.struct(list(pa.unify_schemas([file.schema_arrow for file in files.values()])))
    lines = Path(case["truth"]).read_text(encoding="utf-8").split("\n")
    told = [typed(present(json.loads(line)), kind) for line in lines if line]
    stored = list(chain.from_iterable(rows.values()))
    faults = chain(
        snapshot_faults(stored, told, time, case["taken"]) if case["taken"] else (),
        row_faults(stored, told, case["id"]),
        *(file_faults(path, file, rows[path], case, version, group_rows) for path, file in files.items()),
        engine_faults(folder, told, time),
    )
    return list(islice(faults, 10)) or [f"{len(told)} rows equal"]


def main(cases, version, group_rows):
    for case in json.loads(Path(cases).read_text(encoding="utf-8")):
        for line in compare(case, version, int(group_rows)):
            print(f"{Path(case['folder']).name}: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
