"""Compares the conversations in Parquet files with the truth, by a reader that is not ours.

    check.py FOLDER TRUTH

TRUTH is NDJSON of every conversation. Prints one JSON object: `rows`, the number of rows below
FOLDER, and `fault`: null if each id of TRUTH is there once and no other is, else a sentence.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

# what the contenders call the id of a conversation
NAMES = ("conversationId", "conversation_id")


def stored_ids(folder):
    for path in sorted(Path(folder).rglob("*.parquet")):
        file = pq.ParquetFile(path)
        name = next((name for name in NAMES if name in file.schema_arrow.names), None)
        if name is not None:
            yield from file.read([name]).column(name).to_pylist()


def fault(stored, told):
    """What is wrong with the ids that are stored, or None."""
    copies = Counter(stored)
    lacking, foreign = told - copies.keys(), copies.keys() - told
    doubled = [name for name, count in copies.items() if count > 1]
    for names, what in (
        (lacking, "are missing"),
        (foreign, "are not of the interval"),
        (doubled, "came twice"),
    ):
        if names:
            return f"{len(names)} ids {what}, such as {min(map(str, names))}"
    return None


def main(folder, truth):
    stored = list(stored_ids(folder))
    with open(truth, encoding="utf-8") as lines:
        told = {json.loads(line)["conversationId"] for line in lines}
    print(json.dumps({"rows": len(stored), "fault": fault(stored, told)}))


main(*sys.argv[1:])
