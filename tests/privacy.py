"""Looks for personal data of the sandbox in everything that a run has written.

    privacy.py scan FOLDER TRUTH     prints each kind of place with the personal values found there
    privacy.py column FOLDER PATH    prints the distinct values of a column, one per line

TRUTH has the rows of the sandbox, as lines of JSON. Which of their values are personal is decided
here by the names that the platforms document, and not by the catalogue of the program.
"""

import json
import pathlib
import sys

import pyarrow.parquet

PERSONAL = set(
    """ani dnis sessionDnis addressFrom addressTo addressOther addressSelf callbackNumbers cc bcc
    callbackUserName destinationAddresses remoteNameDisplayable remote subject wrapUpNote
    extendedDeliveryStatus entryReason transferTargetName attributes remoteIp email username
    preferredName address fromAddress toAddress fromAddr toAddr firstName lastName userName
    emailAddress dispositionNotes agentFirstName agentLastName phoneNumber fileName
    journeyCustomerId externalTag oldValues newValues context""".split()
)
# objects whose `name` is that of a person
PEOPLE = {"user", "manager", "owners", "publishedBy", "lockedUser", "createdBy"}
# shorter values, such as `true` or `Ana`, also occur as parts of other texts
SHORTEST = 5
# values of attributes that say nothing about a person
GENERIC = {"true", "false", "null"}


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from texts(element)
    elif isinstance(value, dict):
        for element in value.values():
            yield from texts(element)


def personal(value, key=""):
    """The personal texts of a row."""
    if key in PERSONAL:
        yield from texts(value)
    elif isinstance(value, list):
        for element in value:
            yield from personal(element, key)
    elif isinstance(value, dict):
        human = value.get("purpose") in ("customer", "external", "agent")
        for name, inner in value.items():
            is_name = name == "participantName" and human or name == "name" and key in PEOPLE
            if is_name:
                yield from texts(inner)
            else:
                yield from personal(inner, name)


def needles(truth):
    # of the sandbox's behaviours `personal-*`
    found = {"49304711000", "kunde4711", "Zoë Müller"}
    with open(truth, encoding="utf-8") as lines:
        for line in lines:
            for text in personal(json.loads(line)):
                found.add(text.removeprefix("tel:").strip())
    return {text for text in found - GENERIC if len(text) >= SHORTEST and not set(text) <= {"0"}}


def contents(path):
    """The kinds of what a file has, each with its texts."""
    text = path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".parquet":
        is_table = any(part.endswith(".tables") for part in path.parts)
        kind = "exported" if "exported" in path.parts else "table" if is_table else "nested"
        file = pyarrow.parquet.ParquetFile(path)
        rows = file.read().to_pylist()
        metadata = {k.decode(): v.decode("utf-8", "replace") for k, v in (file.metadata.metadata or {}).items()}
        everything = json.dumps([rows, metadata], ensure_ascii=False, default=str)
        # a text in a raw value of `_extra` is escaped twice
        yield kind, everything.replace("\\\\", "\\").replace('\\"', '"')
        # statistics and what else is not compressed
        yield f"{kind}, bytes", text
        return
    kind = "quarantine" if "_quarantine" in path.parts else "ledger" if "_ledger" in path.name else path.suffix
    unescaped = text.replace("\\\\", "\\").replace('\\"', '"')
    # a quotation mark in CSV is doubled
    yield kind, text + unescaped + unescaped.replace('""', '"')


def scan(folder, truth):
    wanted = needles(truth)
    assert len(wanted) > 50, wanted
    found, places = {}, set()
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file():
            for kind, text in contents(path):
                places.add(kind)
                found.setdefault(kind, set()).update(needle for needle in wanted if needle in text)
    for kind in sorted(places):
        print(json.dumps({"place": kind, "found": sorted(found[kind])}, ensure_ascii=False))


def values(row, names):
    if isinstance(row, list):
        for element in row:
            yield from values(element, names)
    elif not names:
        if row is not None:
            yield row
    elif row is not None:
        yield from values(row.get(names[0]), names[1:])


def column(folder, path):
    names, found = path.split("."), set()
    for file in pathlib.Path(folder).rglob("*.parquet"):
        rows = pyarrow.parquet.ParquetFile(file).read(columns=[names[0]]).to_pylist()
        found.update(values(rows, names))
    print("\n".join(sorted(found)))


{"scan": scan, "column": column}[sys.argv[1]](*sys.argv[2:])
