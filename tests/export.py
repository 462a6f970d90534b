"""Checks exports with readers that are not ours: the csv module, DuckDB, json and pyarrow.

    export.py compare TRUTH FOLDER    compares rows.parquet, rows.ndjson and rows.csv with the truth, which is NDJSON
    export.py compare-tables TRUTH FOLDER  the same without lists and objects that hold nothing: tables do not keep them
    export.py spreadsheet TRUTH FILE  compares a CSV file that LibreOffice converted to flat XML with the truth
    export.py write FOLDER ROWS       writes an output of the dataset `calls` whose texts are hostile, and its truth

The columns of rows.csv are paths. Prints the number of equal rows, or the first differences.
"""

import csv
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from reader import UTC_US, differences, present, typed

STEP = re.compile(r'\[(\d+)\]|\["([^"]*)"\]|\.?([\w:@$-]+)')
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
TEXTS = [
    "plain", "", " ", 'a "quoted" text', "two\nlines", "carriage\rreturn", "both\r\nends", "comma, semicolon; tab\t",
    "=cmd|' /C calc'!A0", "+49 89 1234", "-1+1", "@SUM(A1)", "nul \0 inside", "\ufeffbyte order mark", "😀 ümlaut 漢字",
    "'", '"', '""', ",", "\n", "\\N", "NULL", "null", "#comment", "\u2028", "a" * 40_000, '{"json": [1, 2]}', "1e5", "007",
    "3-4", "12:30", "true", "March1", "1234567890123456", "1.50", " 7", "42",
]
LEG = pa.struct([("ani", pa.string()), ("at", UTC_US)])
CALL = pa.schema([
    pa.field("id", pa.string(), nullable=False), pa.field("at", UTC_US, nullable=False), ("text", pa.string()),
    ("seconds", pa.int64()), ("score", pa.float64()), ("legs", pa.list_(LEG)), ("_extra", pa.map_(pa.string(), pa.string())),
])


def at(row, kind, path):
    """The value of a row at a path and its type."""
    value = row
    for index, quoted, name in STEP.findall(path):
        if index:
            kind = kind.value_type
            value = value[int(index)] if value is not None and int(index) < len(value) else None
        elif pa.types.is_map(kind):
            kind, value = kind.item_type, None if value is None else value.get(quoted or name)
        else:
            kind, value = kind.field(quoted or name).type, None if value is None else value.get(quoted or name)
    return value, kind


def field(text, kind):
    """What a field of CSV says."""
    if pa.types.is_string(kind):
        return text
    if text == "":
        return None
    if pa.types.is_int64(kind):
        return int(text)
    if pa.types.is_float64(kind):
        return float(text)
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[text]
    return datetime.fromisoformat(text) if kind == UTC_US else typed(json.loads(text), kind)


def csv_faults(path, told, kind):
    """Where the csv module or DuckDB reads other values. The module does not tell null from an empty text."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    yield from differences("csv: rows", len(rows), len(told))
    options = "header=true, all_varchar=true, delim=',', quote='\"', escape='\"', allow_quoted_nulls=false"
    options += ", max_line_size=4000000, auto_detect=false"
    columns = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}': 'VARCHAR'" for name in header)
    query = f"SELECT * FROM read_csv('{path}', {options}, columns={{{columns}}})"
    others = duckdb.sql(query).fetchall()
    yield from differences("duckdb: rows", len(others), len(told))
    for number, (row, other, expected) in enumerate(zip(rows, others, told)):
        for name, text, theirs in zip(header, row, other):
            value, type_ = at(expected, kind, name)
            found = field(text, type_)
            yield from differences(f"csv: {number}.{name}", found, "" if value is None and found == "" else value)
            theirs = None if theirs is None else field(theirs, type_)
            yield from differences(f"duckdb: {number}.{name}", theirs, value)


def without_empty(value):
    """The value without the lists and objects that hold nothing."""
    if isinstance(value, dict):
        kept = {key: without_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None} or None
    return [without_empty(inner) for inner in value] or None if isinstance(value, list) else value


def faults(truth, folder, form):
    table = pq.read_table(folder / "rows.parquet")
    kind = pa.struct(list(table.schema))
    time = table.schema.names[[field.type for field in table.schema].index(UTC_US)]
    lines = [line for line in truth.read_text(encoding="utf-8").split("\n") if line]
    told = [form(typed(present(json.loads(line)), kind)) for line in lines]
    stored = [present(row) for row in table.to_pylist(maps_as_pydicts="strict")]
    key = table.schema.names[0]
    times = [row[time] for row in stored]
    yield from differences("parquet: order", times, sorted(times))
    # rows of the same time may come in any order
    told.sort(key=lambda row: (row[time], row[key]))
    order = sorted(range(len(stored)), key=lambda index: (times[index], stored[index][key]))
    yield from differences("parquet", [form(stored[index]) for index in order], told)
    lines = (folder / "rows.ndjson").read_text(encoding="utf-8").split("\n")
    rows = [form(typed(present(json.loads(line)), kind)) for line in lines if line]
    yield from differences("ndjson", [rows[index] for index in order], told)
    yield from csv_faults(folder / "rows.csv", stored, kind)
    print(f"{len(told)} rows", file=sys.stderr)


def compare(truth, folder, form=lambda row: row):
    found = list(islice(faults(Path(truth), Path(folder), form), 10))
    print("\n".join(found) or "equal")


def shown(value):
    """A text as a cell shows it: NUL cannot be in XML, and a line ends in one way."""
    return re.sub("\r\n?", "\n", value.replace("\0", ""))


def cells(path):
    """The cells of each row of a table: their type and what they show."""
    table, text, office = (f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("table", "text", "office"))

    def told(node):
        space = " " * int(node.get(f"{text}c", "1")) if node.tag == f"{text}s" else "\t" if node.tag == f"{text}tab" else ""
        return (node.text or "") + space + "".join(told(child) + (child.tail or "") for child in node)

    for row in ElementTree.parse(path).getroot().iter(f"{table}table-row"):
        found = []
        for cell in row.findall(f"{table}table-cell"):
            lines = "\n".join(told(line) for line in cell.findall(f"{text}p"))
            kind = "formula" if cell.get(f"{table}formula") else cell.get(f"{office}value-type")
            found += [(kind, lines, cell.get(f"{office}value"))] * min(int(cell.get(f"{table}number-columns-repeated", "1")), 20)
        yield found


def spreadsheet(truth, path):
    """Texts are texts with every character, whatever they look like, after the apostrophe that marks them."""
    header, *rows = cells(path)
    names = [lines for _, lines, _ in header if lines]
    told = [json.loads(line) for line in Path(truth).read_text(encoding="utf-8").split("\n") if line]
    found = list(differences("rows", len(rows), len(told)))
    for number, (row, expected) in enumerate(zip(rows, told)):
        for name, (kind, lines, value) in zip(names, row):
            wanted = expected[name]
            if isinstance(wanted, str) and name != "at":
                plain = lines if lines == shown(wanted) else lines.removeprefix("'")
                if not (kind == "float" and value == wanted):
                    found += differences(f"{number}.{name}", (kind or "string", plain), ("string", shown(wanted)))
            elif isinstance(wanted, (int, float)):
                found += differences(f"{number}.{name}", f"{float(value):.12g}", f"{wanted:.12g}")
    print("\n".join(found[:10]) or "equal")


def write(folder, rows):
    """Writes days of up to 500,000 calls, with the footers of the program, so that `rebuild` makes the ledger."""
    folder, rows = Path(folder), int(rows)
    is_small = rows <= 1_000
    truth = open(folder / "truth", "w", encoding="utf-8") if is_small else None
    for day, first in enumerate(range(0, rows, 500_000)):
        count = min(500_000, rows - first)
        begin = START + timedelta(days=day)
        interval = "/".join(f"{begin + timedelta(days=more):%Y-%m-%dT00:00:00Z}" for more in (0, 1))
        counts = {"received": count, "written": count, "not_owned": 0, "duplicate": 0, "quarantined": 0}
        entries = {
            "dataset": "calls", "schema_version": "1", "interval": interval, "job": "{}", "commit": f"c-{day}",
            "commit_files": "1", "counts": json.dumps(counts), "open_rows": "0", "version": "0",
        }
        metadata = {f"cxbackfill.{key}": value for key, value in entries.items()}
        name = f"{begin:%Y%m%dT000000.000Z}-{begin + timedelta(days=1):%Y%m%dT000000.000Z}.parquet"
        path = folder / "out" / "calls" / f"date={begin:%Y-%m-%d}" / name
        path.parent.mkdir(parents=True)
        with pq.ParquetWriter(path, CALL.with_metadata(metadata), compression="zstd") as writer:
            for start in range(0, count, 20_000):
                texts = [TEXTS[number % len(TEXTS)] if is_small else f"text of {number}" for number in range(start, min(count, start + 20_000))]
                table = [
                    {
                        "id": f"{first + start + number:012}", "at": begin + timedelta(milliseconds=(start + number) * 100),
                        "text": None if number % 31 == 30 else text, "seconds": number - 5, "score": number / 3,
                        "legs": [{"ani": text, "at": None}, {"ani": None, "at": begin}] if number % 7 else None, "_extra": None,
                    }
                    for number, text in enumerate(texts)
                ]
                writer.write_table(pa.Table.from_pylist(table, CALL), row_group_size=20_000)
                for row in table if truth else ():
                    print(json.dumps(row, default=datetime.isoformat), file=truth)


if __name__ == "__main__":
    commands = {
        "compare": compare, "compare-tables": partial(compare, form=without_empty), "spreadsheet": spreadsheet, "write": write,
    }
    commands[sys.argv[1]](*sys.argv[2:])
