"""Compares an output with the one that it was upgraded from, through a reader that is not ours.

    upgraded.py OLD NEW

Each file of OLD has one of the same name in NEW, with the same rows in the same order. Columns that OLD lacks hold
nothing. Every time in NEW is in microseconds. Prints the number of equal rows, or the first differences.
"""

import sys
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def without_new(new, kind):
    """The value without the fields that the old type lacks, which must be null."""
    if new is None:
        return None
    if pa.types.is_struct(kind):
        names = {field.name for field in kind}
        added = {key: value for key, value in new.items() if key not in names and value is not None}
        if added:
            raise ValueError(f"new columns are not null: {added}")
        return {field.name: without_new(new[field.name], field.type) for field in kind}
    if pa.types.is_list(kind):
        return [without_new(value, kind.value_type) for value in new]
    return new


def times(kind, path):
    """The types of all times inside a type."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from times(field.type, f"{path}.{field.name}")
    elif pa.types.is_list(kind):
        yield from times(kind.value_type, f"{path}[]")
    elif pa.types.is_timestamp(kind):
        yield path, kind


def differences(old, new):
    before, after = pq.read_table(old, partitioning=None), pq.read_table(new, partitioning=None)
    for field in after.schema:
        for path, kind in times(field.type, field.name):
            if kind != pa.timestamp("us", tz="UTC"):
                yield f"{path} is {kind}"
    kind = pa.struct(list(before.schema))
    if before.num_rows != after.num_rows:
        yield f"{before.num_rows} rows became {after.num_rows}"
    for number, (one, other) in enumerate(zip(before.to_pylist(), after.to_pylist())):
        if one != without_new(other, kind):
            yield f"row {number}: {one} became {other}"


def main(old, new):
    rows, faults = 0, []
    files = sorted(path.relative_to(old) for path in Path(old).rglob("*.parquet"))
    others = sorted(path.relative_to(new) for path in Path(new).rglob("*.parquet"))
    if files != others:
        faults.append(f"{files} became {others}")
    for path in files:
        faults.extend(f"{path}: {fault}" for fault in islice(differences(Path(old) / path, Path(new) / path), 3))
        rows += pq.read_metadata(Path(old) / path).num_rows
    print("\n".join(faults) or f"{rows} rows equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
