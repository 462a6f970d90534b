"""Checks that no value of drifted rows is lost, through pyarrow.

    conserved.py FOLDER ID DRIFTED PLAIN

FOLDER holds the Parquet files of a dataset whose rows are identified by the column ID, DRIFTED and PLAIN are the
sandbox's truth with drift and without it, as NDJSON. Each value of DRIFTED that PLAIN has otherwise or not at all is in `_extra` as it came, or means the same as
that of PLAIN and is in its column. Prints the patterns of the paths in `_extra` and in how many rows each is, as JSON.
"""

import json
import re
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

import pyarrow.dataset as ds

PLAIN_NAME = re.compile(r"[\w$@:-]+")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ABSENT = object()


def join(path, name):
    if not PLAIN_NAME.fullmatch(name):
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


def time_of(value):
    if isinstance(value, int):
        return EPOCH + timedelta(milliseconds=value)
    return datetime.fromisoformat(value)


def same(stored, drifted, plain):
    """Whether a column holds what the row without drift has. The sandbox rounds the last digit of a double when it
    changes the row, so a double is compared with what was sent."""
    if isinstance(stored, datetime):
        return stored == time_of(plain)
    if isinstance(stored, float):
        return stored == float(drifted)
    if isinstance(plain, str) and not isinstance(stored, str):
        return str(stored) == plain  # a number that the platform writes as text
    return stored == plain


def check(path, drifted, plain, stored, extra, used):
    """Compares a value of a drifted row with the same one without drift and with the column."""
    if path in extra:
        assert json.loads(extra[path]) == drifted, f"{path}: {extra[path]} is not {drifted}"
        assert drifted != plain, f"{path}: {drifted} fits and is in _extra"
        assert stored is ABSENT or stored is None, f"{path}: in its column and in _extra"
        used.add(path)
    elif drifted is None and plain is None:
        assert stored in (ABSENT, None), f"{path}: null became {stored}"
    elif plain is ABSENT:
        assert drifted in ("", []), f"{path}: {drifted} is nowhere"
        assert stored in (None, []), f"{path}: {drifted} became {stored}"
    elif isinstance(drifted, dict) and isinstance(plain, dict):
        assert isinstance(stored, dict), f"{path}: {stored}"
        for name, value in drifted.items():
            inner = plain.get(name, ABSENT), stored.get(name, ABSENT)
            check(join(path, name), value, *inner, extra, used)
    elif isinstance(drifted, list) and isinstance(plain, list):
        assert len(drifted) == len(plain) == len(stored), path
        for index, elements in enumerate(zip(drifted, plain, stored)):
            check(f"{path}[{index}]", *elements, extra, used)
    else:
        assert stored is not ABSENT and stored is not None, f"{path}: {drifted} is nowhere"
        assert same(stored, drifted, plain), f"{path}: {drifted} became {stored}, not {plain}"


def rows(file, id_column):
    with open(file, encoding="utf-8") as lines:
        return {str(row[id_column]): row for row in map(json.loads, lines)}


def main(folder, id_column, drifted_file, plain_file):
    drifted, plain = rows(drifted_file, id_column), rows(plain_file, id_column)
    assert drifted.keys() == plain.keys() and drifted
    patterns = Counter()
    stored = ds.dataset(folder, format="parquet", exclude_invalid_files=False).to_table().to_pylist()
    assert sorted(str(row[id_column]) for row in stored) == sorted(drifted), "other rows"
    for row in stored:
        row_id, used = str(row[id_column]), set()
        extra = dict(row.pop("_extra") or [])
        check("", drifted[row_id], plain[row_id], row, extra, used)
        assert used == extra.keys(), f"{row_id}: {extra.keys() - used} are in _extra and not in the row"
        patterns.update({re.sub(r"\[\d+\]", "[]", path) for path in extra})
    print(json.dumps(patterns, ensure_ascii=False))


main(*sys.argv[1:])
