"""Holds the flat tables of an output with `output.layout = "both"` against its nested rows, without a line of the
program.

    tables.py OUT

For each dataset that has tables, day by day: joined by their keys they give the nested rows, field by field; what a
table inherits is that of the row around it; and every computed number of conversations is what plain Python makes of the
nested row. Prints a JSON object: rows per dataset, rows per table, and how many conversations of each kind were compared.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def aggregates(dataset):
    tables = {dataset.replace("-", "_"): [], "dimensions": ["group"], "metrics": ["metrics"]}
    return ["interval", "group"], tables


AGGREGATES = [f"{of}-aggregates" for of in ("conversation", "queue", "flow", "user")]
SESSION = ["participants", "sessions"]
# dataset: the columns of its key, and each of its tables with the lists that lead to its rows
TABLES = {
    "conversations": (
        ["conversationId", "conversationStart"],
        {
            "conversations": [],
            "participants": ["participants"],
            "attributes": ["participants", "attributes"],
            "sessions": SESSION,
            "segments": [*SESSION, "segments"],
            "metrics": [*SESSION, "metrics"],
            "agent_groups": [*SESSION, "agentGroups"],
            "proposed_agents": [*SESSION, "proposedAgents"],
            "media_endpoint_stats": [*SESSION, "mediaEndpointStats"],
            "flow_outcomes": [*SESSION, "flow.outcomes"],
            "scored_agents": [*SESSION, "segments", "scoredAgents"],
            "properties": [*SESSION, "segments", "properties"],
            "evaluations": ["evaluations"],
            "surveys": ["surveys"],
            "resolutions": ["resolutions"],
        },
    ),
    **{dataset: aggregates(dataset) for dataset in AGGREGATES},
    "audits": (
        ["id", "eventDate"],
        {
            "audits": [],
            "property_changes": ["propertyChanges"],
            "entity_changes": ["entityChanges"],
            "context": ["context"],
            "message_params": ["message.messageParams"],
        },
    ),
    "users": (["id", "snapshotTime"], {"users": [], "contacts": ["primaryContactInfo"], "addresses": ["addresses"]}),
    "queues": (["id", "snapshotTime"], {"queues": [], "member_groups": ["memberGroups"]}),
    "wrapup-codes": (["id", "snapshotTime"], {"wrapup_codes": []}),
    "skills": (["id", "snapshotTime"], {"skills": []}),
    "groups": (["id", "snapshotTime"], {"groups": [], "owners": ["owners"]}),
    "flows": (["id", "snapshotTime"], {"flows": []}),
    "presence-definitions": (
        ["id", "snapshotTime"],
        {"presence_definitions": [], "language_labels": ["languageLabels"]},
    ),
    "contacts": (["contactId", "contactStartDate"], {"contacts": [], "tags": ["tags"]}),
}
# of conversations: values of the participant (1) and the session (2) around a row, by table
INHERITED = {
    **dict.fromkeys(["attributes", "sessions"], {"participantId": 1, "purpose": 1, "userId": 1}),
    **dict.fromkeys(
        ["segments", "metrics", "media_endpoint_stats"],
        {"participantId": 1, "purpose": 1, "userId": 1, "sessionId": 2, "mediaType": 2},
    ),
    **dict.fromkeys(
        ["agent_groups", "proposed_agents", "scored_agents", "properties"],
        {"participantId": 1, "sessionId": 2},
    ),
    "flow_outcomes": {"participantId": 1, "sessionId": 2, "flow_flowId": 2},
}
ONE = {"properties": "property", "addresses": "address", "agentGroups": "agentGroup"}


def one_of(name):
    """The name of one element of a list."""
    name = name.split(".")[-1]
    return ONE.get(name, name.removesuffix("s"))


def is_nested(kind):
    return pa.types.is_map(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))


def entry_fields(kind):
    """The fields of the elements of a list, or of the entries of a map."""
    if pa.types.is_map(kind):
        return [pa.field("key", kind.key_type), pa.field("value", kind.item_type)]
    return [kind.value_type.field(i) for i in range(kind.value_type.num_fields)]


def plain(value):
    """A nested value in which empty lists, empty maps and objects without values are null."""
    if isinstance(value, dict):
        return {key: inner for key, v in value.items() if (inner := plain(v)) is not None} or None
    if isinstance(value, list):
        return [plain(element) for element in value] or None
    return value


class Joined:
    """The tables of a dataset on one day, joined by their keys."""

    def __init__(self, dataset, tables):
        self.key, places = TABLES[dataset]
        self.inherited = INHERITED if dataset == "conversations" else {}
        self.name_of = {tuple(path): name for name, path in places.items()}
        self.children = {}
        for name, path in places.items():
            numbers = [f"{one_of(step)}Number" for step in path]
            rows = defaultdict(list)
            for row in tables.get(name, []):
                rows[tuple(row[column] for column in self.key + numbers[:-1])].append(row)
            for siblings in rows.values():
                if numbers:
                    siblings.sort(key=lambda row: row[numbers[-1]])
                    found = [row[numbers[-1]] for row in siblings]
                    assert found == list(range(1, len(found) + 1)), f"{name}: {found}"
                else:
                    assert len(siblings) == 1, f"{name}: a row twice"
            self.children[tuple(path)] = rows

    def fields(self, fields, path, row, around, at=""):
        """The object that a row of a table stands for; `at` is the object inside it whose fields are meant."""
        found = {}
        for field in fields:
            place = f"{at}{field.name}"
            if is_nested(field.type) and (*path, place) in self.name_of:
                value = self.elements(field.type, (*path, place), [*around, row])
            elif pa.types.is_struct(field.type):
                inner = [field.type.field(i) for i in range(field.type.num_fields)]
                value = self.fields(inner, path, row, around, f"{place}.")
            else:
                column = place.replace(".", "_")
                is_key = path and column in (*self.key, *self.inherited.get(self.name_of[path], ()))
                value = plain(row[f"{one_of(path[-1])}_{column}" if is_key else column])
            if value is not None:
                found[field.name] = value
        return found or None

    def elements(self, kind, path, around):
        name, key = self.name_of[path], around[-1]
        numbers = [f"{one_of(step)}Number" for step in path[:-1]]
        rows = self.children[path].get(tuple(key[column] for column in self.key + numbers), [])
        for row in rows:
            for column, level in self.inherited.get(name, {}).items():
                outer = row if level == len(around) else around[level]
                assert row[column] == outer[column], f"{name}.{column}: {row} {outer}"
        values = [self.fields(entry_fields(kind), path, row, around) for row in rows]
        if pa.types.is_map(kind):
            return [(entry["key"], entry.get("value")) for entry in values] or None
        return values or None

    def rows(self, fields):
        (roots,) = [self.children[()]]
        return [self.fields(fields, (), row, []) for (row,) in roots.values()]


def key_text(value):
    """A map that is a part of the id, as tables have it."""
    if not isinstance(value, list):
        return value
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seconds(start, end):
    """Between two times in microseconds."""
    return None if start is None or end is None else (end - start) / 1_000_000


def earliest(found):
    """The first of (time, value) pairs in document order; those without a value or a time do not count, unless no
    value has a time."""
    found = [(time, value) for time, value in found if value is not None]
    timed = [pair for pair in found if pair[0] is not None]
    best = None
    for time, value in timed:
        if best is None or time < best[0]:
            best = (time, value)
    return best[1] if best else found[0][1] if found else None


def latest(found):
    found = [(time, value) for time, value in found if value is not None]
    timed = [pair for pair in found if pair[0] is not None]
    best = None
    for time, value in timed:
        if best is None or time >= best[0]:
            best = (time, value)
    return best[1] if best else found[-1][1] if found else None


def numbers(row):
    """The computed columns of a conversation, from its nested row."""
    participants = row.get("participants") or []
    sessions = [s for p in participants for s in (p or {}).get("sessions") or []]
    segments = [g for s in sessions for g in (s or {}).get("segments") or []]
    metrics = [m for s in sessions for m in (s or {}).get("metrics") or []]

    def starts(session):
        found = [g["segmentStart"] for g in session.get("segments") or [] if g and g.get("segmentStart") is not None]
        return found or [None]

    def begun(participant, pick):
        times = [t for s in participant.get("sessions") or [] for t in starts(s) if t is not None]
        return pick(times) if times else None

    def total(name):
        return sum(m["value"] for m in metrics if m.get("name") == name and m.get("value") is not None)

    def segment_values(field):
        return [(g.get("segmentStart"), g.get(field)) for g in segments]

    named = {m.get("name") for m in metrics}
    agents = [p for p in participants if p.get("purpose") == "agent"]
    return {
        "durationSeconds": seconds(row.get("conversationStart"), row.get("conversationEnd")),
        "firstMediaType": earliest([(min(starts(s)), s.get("mediaType")) for s in sessions]),
        "lastMediaType": latest([(max(starts(s)), s.get("mediaType")) for s in sessions]),
        "firstQueueId": earliest(segment_values("queueId")),
        "lastUserId": latest([(begun(p, max), p.get("userId")) for p in agents]),
        "wrapUpCode": latest(segment_values("wrapUpCode")),
        "talkSeconds": total("tTalkComplete") / 1000,
        "holdSeconds": total("tHeldComplete") / 1000,
        "waitSeconds": total("tAcd") / 1000,
        "wrapUpSeconds": total("tAcw") / 1000,
        "handleSeconds": total("tHandle") / 1000,
        "transfers": total("nTransferred"),
        "offered": total("nOffered"),
        "overSla": total("nOverSla"),
        "answered": "tAnswered" in named,
        "abandoned": "tAbandon" in named,
    }


def kinds(row, expected):
    """The kinds that a conversation belongs to."""
    agents = {p.get("userId") for p in row.get("participants") or [] if p.get("purpose") == "agent"}
    return {
        "all": True,
        "open": row.get("conversationEnd") is None,
        "transferred": expected["transfers"] > 0,
        "abandoned": expected["abandoned"],
        "answered": expected["answered"],
        "late": expected["overSla"] > 0,
        "several agents": len(agents) > 1,
        "several media": expected["firstMediaType"] != expected["lastMediaType"],
        "without agents": not agents,
        "without participants": not row.get("participants"),
    }


def expect(name, found, expected):
    for column, value in expected.items():
        assert found[column] == value, f"{name}.{column}: {found[column]!r} instead of {value!r}: {found}"


def check_computed(dataset, tables, nested, counted):
    """Compares what is computed from several rows."""
    if dataset == "conversations":
        by_id = {row["conversationId"]: row for row in tables["conversations"]}
        for row in nested:
            expected = numbers(row)
            expect("conversations", by_id[row["conversationId"]], expected)
            counted.update(kind for kind, belongs in kinds(row, expected).items() if belongs)
        for row in tables.get("segments", []):
            expect("segments", row, {"seconds": seconds(row["segmentStart"], row["segmentEnd"])})
        queue = {}
        for row in nested:
            for p, participant in enumerate(row.get("participants") or [], 1):
                for s, session in enumerate((participant or {}).get("sessions") or [], 1):
                    queues = [g["queueId"] for g in (session or {}).get("segments") or [] if g and g.get("queueId")]
                    queue[row["conversationId"], p, s] = queues[0] if queues else None
        for row in tables.get("metrics", []):
            place = (row["conversationId"], row["participantNumber"], row["sessionNumber"])
            expect("metrics", row, {"queueId": queue[place]})
    if dataset in AGGREGATES:
        for name in (dataset.replace("-", "_"), "metrics"):
            for row in tables.get(name, []):
                group = json.loads(row["group"])
                columns = [c for c in ("mediaType", "originatingDirection", "queueId", "flowId", "userId") if c in row]
                expect(name, row, {column: group.get(column) for column in columns})


def read(files):
    """The rows of some files, times as microseconds, and their schema."""
    rows, schema = [], None
    for file in files:
        table = pq.ParquetFile(file).read()
        schema = table.schema
        rows += in_microseconds(table).to_pylist()
    return rows, schema


def in_microseconds(table):
    return table.cast(pa.schema([field.with_type(untimed(field.type)) for field in table.schema]))


def untimed(kind):
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_map(kind):
        return kind
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(untimed(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([kind.field(i).with_type(untimed(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind


def check_day(dataset, folder, day, told):
    nested, schema = read(sorted((folder / day).glob("*.parquet")))
    found = {}
    for name in TABLES[dataset][1]:
        found[name], _ = read(sorted((folder.parent / f"{folder.name}.tables" / name / day).glob("*.parquet")))
        told["tables"][f"{dataset}.{name}"] += len(found[name])
    joined = Joined(dataset, found).rows(schema)
    key, _ = TABLES[dataset]

    def by_key(rows):
        keyed = {tuple(key_text(row.get(column)) for column in key): row for row in rows}
        assert len(keyed) == len(rows), f"{dataset}: a row twice"
        return keyed

    expected, joined = by_key([plain(row) for row in nested]), by_key(joined)
    assert expected.keys() == joined.keys(), f"{dataset} {day}: {list(expected.keys() ^ joined.keys())[:3]}"
    for place, row in expected.items():
        assert joined[place] == row, f"{dataset} {place}:\n{joined[place]}\n{row}"
    check_computed(dataset, found, nested, told["conversations"])
    told["datasets"][dataset] += len(nested)


def main(out):
    told = {"datasets": Counter(), "tables": Counter(), "conversations": Counter()}
    for folder in sorted(Path(out).glob("*.tables")):
        dataset = folder.name.removesuffix(".tables")
        assert {table.name for table in folder.iterdir()} <= TABLES[dataset][1].keys(), dataset
        for day in sorted(path.name for path in (folder.parent / dataset).glob("date=*")):
            check_day(dataset, folder.parent / dataset, day, told)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
