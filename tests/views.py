"""Runs the views that the program prints and compares them with the truth, without a line of their SQL.

    views.py ENGINE SQL PLATFORM FOLDER
    views.py columns SQL
    views.py parse SQL DIALECT

ENGINE is `duckdb` or `spark`. FOLDER has the truth of each dataset as NDJSON. Prints `NAME: equal` for each
view that is compared, or what differs. `columns` prints the columns of each view, without their order, as
DuckDB says. `parse` reads the statements by sqlglot, without running them.
"""

import json
import os
import re
import sys
import time
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

WEEK = timedelta(days=7)
NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def instant(text):
    return datetime.fromisoformat(text) if text else None


def seconds(start, end):
    return (instant(end) - instant(start)).total_seconds() if start and end else None


def half_hour(text):
    start = instant(text)
    return start.replace(minute=start.minute // 30 * 30, second=0, microsecond=0)


def first_contacts(contacts):
    """Per day how many (customer, time) there are, and how many without an earlier one within a week."""
    found, known = defaultdict(lambda: [0, 0]), {}
    for customer, start in sorted(contacts, key=lambda contact: instant(contact[1])):
        found[start[:10]][0] += 1
        found[start[:10]][1] += customer not in known or instant(start) - known[customer] > WEEK
        known[customer] = instant(start)
    return [(day, *counts) for day, counts in found.items()]


def elements(conversation):
    """Each session with its participant, and their positions."""
    for number, participant in enumerate(conversation.get("participants") or [], 1):
        for place, session in enumerate(participant.get("sessions") or [], 1):
            yield number, participant, place, session


def queue_of(session):
    queues = [segment["queueId"] for segment in session.get("segments") or [] if segment.get("queueId")]
    return queues[0] if queues else None


def first(values):
    """The first of (time, value) that are not null; those without a time come last, equal ones as they come."""
    present = [(at is None, at or NEVER, place, value) for place, (at, value) in enumerate(values) if value is not None]
    return min(present)[3] if present else None


def last(values):
    present = [(at is not None, at or NEVER, place, value) for place, (at, value) in enumerate(values) if value is not None]
    return max(present)[3] if present else None


def conversation(row):
    """The row of the table of conversations, from its nested row."""
    sessions, segments, agents, spent, names = [], [], [], Counter(), set()
    for participant in row.get("participants") or []:
        all_starts = []
        for session in participant.get("sessions") or []:
            starts = [instant(segment["segmentStart"]) for segment in session.get("segments") or []]
            sessions.append((starts, session.get("mediaType")))
            segments += [(start, segment) for start, segment in zip(starts, session.get("segments") or [])]
            all_starts += starts
            for metric in session.get("metrics") or []:
                spent[metric["name"]] += metric["value"]
                names.add(metric["name"])
        if participant.get("purpose") == "agent":
            agents.append((max(all_starts, default=None), participant.get("userId")))
    return (
        row["conversationId"], instant(row["conversationStart"]), instant(row.get("conversationEnd")), row.get("originatingDirection"),
        seconds(row["conversationStart"], row.get("conversationEnd")),
        first((min(starts, default=None), media) for starts, media in sessions), last((max(starts, default=None), media) for starts, media in sessions),
        first((start, segment.get("queueId")) for start, segment in segments), last(agents), last((start, segment.get("wrapUpCode")) for start, segment in segments),
        *(spent[name] / 1000 for name in ("tTalkComplete", "tHeldComplete", "tAcd", "tAcw", "tHandle")),
        spent["nTransferred"], "tAnswered" in names, "tAbandon" in names,
    )


def odd():
    """Conversations that the sandbox does not have: without participants, out of order, with equal and missing times."""

    def at(minute):
        return f"2024-01-01T00:{minute:02}:00Z"

    def session(media, *starts, metrics=(), **more):
        found = [{"segmentStart": at(start), "segmentEnd": at(start + 1), "queueId": f"q{media}{start}", "wrapUpCode": f"w{media}{start}"} for start in starts]
        return {"sessionId": f"{media}{starts}", "mediaType": media, "segments": found, "metrics": list(metrics), **more}

    def participant(purpose, user, *sessions):
        return {"participantId": f"{purpose}{user}", "purpose": purpose, "userId": user, "sessions": list(sessions)}

    def metric(name, value):
        return {"name": name, "value": value}

    all_participants = [
        None,
        [],
        [participant("agent", "alone")],
        [participant("customer", None, session("later", 9), session("earlier", 5))],
        [participant("agent", "second", session("a", 7)), participant("agent", "first", session("b", 3)), participant("user", "no agent", session("c", 30))],
        [participant("agent", "one", session("x", 4)), participant("agent", "other", session("y", 4))],
        [participant("agent", "silent", session("without")), participant("agent", "known", session("with", 6)), participant("agent", "quiet", session("none"))],
        [participant("agent", "silent", session("without")), participant("agent", "quiet", session("none"))],
        [participant("acd", None, session("v", 1, 2, metrics=[metric("tTalkComplete", 2**31), metric("tTalkComplete", 5), metric("nTransferred", 2), metric("tAbandon", 0)]))],
        [participant("acd", None, {"sessionId": "bare", "mediaType": None, "segments": None, "metrics": None})],
    ]
    return [{"conversationId": f"odd{n}", "conversationStart": at(0), "participants": found} for n, found in enumerate(all_participants)]


def genesys(truth):
    """The rows that the views must have: the name of the view, its columns, its rows."""
    conversations, queues = truth("conversations"), truth("queues")
    sessions = [(c, *parts) for c in conversations for parts in elements(c)]
    segments = [(c, p, s, n, g) for c, _, p, _, s in sessions for n, g in enumerate(s.get("segments") or [], 1)]
    metrics = [(c, p, s, m) for c, _, p, _, s in sessions for m in s.get("metrics") or []]
    flat = [conversation(c) for c in conversations]
    columns = (
        "conversationId conversationStart conversationEnd originatingDirection durationSeconds firstMediaType lastMediaType firstQueueId lastUserId "
        "wrapUpCode talkSeconds holdSeconds waitSeconds wrapUpSeconds handleSeconds transfers answered abandoned"
    )
    yield "conversations", columns, flat
    yield "participants", "conversationId participantNumber participantId purpose userId", [
        (c["conversationId"], n, p["participantId"], p.get("purpose"), p.get("userId")) for c in conversations for n, p in enumerate(c.get("participants") or [], 1)
    ]
    yield "sessions", "conversationId conversationStart participantNumber sessionNumber sessionId mediaType ani purpose flow_flowId", [
        (c["conversationId"], instant(c["conversationStart"]), i, j, s["sessionId"], s.get("mediaType"), s.get("ani"), p.get("purpose"), (s.get("flow") or {}).get("flowId"))
        for c, i, p, j, s in sessions
    ]
    yield "segments", "conversationId sessionId segmentNumber segmentStart segmentEnd segmentType queueId wrapUpCode seconds userId", [
        (c["conversationId"], s["sessionId"], n, instant(g["segmentStart"]), instant(g.get("segmentEnd")), g.get("segmentType"), g.get("queueId"),
         g.get("wrapUpCode"), seconds(g["segmentStart"], g.get("segmentEnd")), p.get("userId"))
        for c, p, s, n, g in segments
    ]
    yield "metrics", "conversationId sessionId name value emitDate queueId userId", [
        (c["conversationId"], s["sessionId"], m["name"], m["value"], instant(m.get("emitDate")), queue_of(s), p.get("userId")) for c, p, s, m in metrics
    ]
    yield "attributes", "conversationId participantId key value", [
        (c["conversationId"], p["participantId"], *entry) for c in conversations for p in c.get("participants") or [] for entry in (p.get("attributes") or {}).items()
    ]
    yield "property_changes", "id propertyChangeNumber property", [
        (row["id"], n, change.get("property")) for row in truth("audits") for n, change in enumerate(row.get("propertyChanges") or [], 1)
    ]
    yield "language_labels", "id key value", [(row["id"], *label) for row in truth("presence-definitions") for label in (row.get("languageLabels") or {}).items()]
    # a map is a part of the id: as a text
    yield "queue_aggregates_metrics", 'interval "group" metricNumber queueId metric stats_count', [
        (instant(row["interval"].split("/")[0]), json.dumps(row["group"], separators=(",", ":"), sort_keys=True), n, row["group"].get("queueId"), m["metric"], m["stats"].get("count"))
        for row in truth("queue-aggregates") for n, m in enumerate(row["metrics"], 1)
    ]
    yield "current_queues", "id name", [(queue["id"], queue["name"]) for queue in queues]

    def day(row):
        return row["conversationStart"][:10]

    by_queue = Counter((d, q) for d, q, _ in {(day(c), g["queueId"], c["conversationId"]) for c, _, _, _, g in segments if g.get("queueId")})
    yield "conversations_by_queue_and_day", "date queueId conversations", [(*key, count) for key, count in by_queue.items()]
    of_agent, of_queue = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for _, participant, session, metric in metrics:
        if metric["name"] == "tHandle" and participant.get("userId"):
            of_agent[participant["userId"]].append(metric["value"])
        if queue_of(session):
            of_queue[queue_of(session)][metric["name"]].append(metric["value"])
    yield "handle_time_by_agent", "userId handled handleSeconds averageSeconds", [(u, len(v), sum(v) / 1000, sum(v) / len(v) / 1000) for u, v in of_agent.items()]

    def share(part, whole):
        return part / whole if whole else None

    offered = {queue: sum(values["nOffered"]) for queue, values in of_queue.items()}
    yield "abandon_rate_by_queue", "queueId offered abandoned abandonRate", [
        (q, offered[q], len(v["tAbandon"]), share(len(v["tAbandon"]), offered[q])) for q, v in of_queue.items() if v["nOffered"] or v["tAbandon"]
    ]
    yield "service_level_by_queue", "queueId offered late serviceLevel", [
        (q, offered[q], sum(v["nOverSla"]), 1 - share(sum(v["nOverSla"]), offered[q])) for q, v in of_queue.items() if v["nOffered"] or v["nOverSla"]
    ]
    yield "wait_time_by_queue", "queueId answered averageSeconds longestSeconds", [
        (q, len(v["tAnswered"]), sum(v["tAnswered"]) / len(v["tAnswered"]) / 1000, max(v["tAnswered"]) / 1000) for q, v in of_queue.items() if v["tAnswered"]
    ]
    yield "transfers_by_queue", "queueId transfers blindTransfers", [
        (q, sum(v["nTransferred"]), sum(v["nBlindTransferred"])) for q, v in of_queue.items() if v["nTransferred"] or v["nBlindTransferred"]
    ]
    codes = Counter((g["wrapUpCode"], g.get("queueId")) for *_, g in segments if g.get("wrapUpCode"))
    yield "wrap_up_codes", "wrapUpCode queueId times", [(*key, count) for key, count in codes.items()]
    yield "busiest_half_hours", "halfHour conversations", list(Counter(half_hour(c["conversationStart"]) for c in conversations).items())
    media = Counter((f"{row[1]:%Y-%m-%d}", row[5], row[3]) for row in flat)
    yield "conversations_by_media_and_day", "date firstMediaType originatingDirection conversations", [(*key, count) for key, count in media.items()]
    contacts = [(s.get("ani") or s.get("addressFrom"), c["conversationStart"]) for c, i, p, j, s in sessions if (i, j) == (1, 1) and p["purpose"] in ("customer", "external")]
    yield "first_contact", "date contacts firstContacts", first_contacts(contact for contact in contacts if contact[0])


def cxone(truth):
    contacts = truth("contacts")
    yield "contacts", "contactId contactStartDate skillId agentId abandoned inQueueSeconds", [
        (int(c["contactId"]), instant(c["contactStartDate"]), c["skillId"], c.get("agentId"), c["abandoned"], c["inQueueSeconds"]) for c in contacts
    ]
    yield "tags", "contactId tagNumber tagId tagName", [
        (int(c["contactId"]), n, t["tagId"], t["tagName"]) for c in contacts for n, t in enumerate(c.get("tags") or [], 1)
    ]
    yield "current_skills", "skillId skillName", [(skill["skillId"], skill["skillName"]) for skill in truth("skills")]
    names = {c["skillId"]: c["skillName"] for c in contacts}
    by_skill = Counter((c["contactStartDate"][:10], c["skillId"]) for c in contacts)
    yield "contacts_by_skill_and_day", "date skillId skillName contacts", [(day, skill, names[skill], count) for (day, skill), count in by_skill.items()]
    of_agent, of_skill = defaultdict(list), defaultdict(list)
    for contact in contacts:
        of_skill[contact["skillId"]].append(contact)
        if contact.get("agentId"):
            of_agent[contact["agentId"]].append((contact.get("agentSeconds") or 0) + (contact.get("acwSeconds") or 0))
    yield "handle_time_by_agent", "agentId handled handleSeconds averageSeconds", [(a, len(v), sum(v), sum(v) / len(v)) for a, v in of_agent.items()]
    inbound = {skill: [c["abandoned"] for c in all if not c["isOutbound"]] for skill, all in of_skill.items()}
    yield "abandon_rate_by_skill", "skillId offered abandonedContacts abandonRate", [(s, len(v), sum(v), sum(v) / len(v)) for s, v in inbound.items() if v]
    flags = {skill: [c["serviceLevelFlag"] for c in all] for skill, all in of_skill.items()}
    yield "service_level_by_skill", "skillId counted inTime serviceLevel", [(s, len(v), sum(v), sum(v) / len(v)) for s, v in flags.items()]
    waited = {skill: [c["inQueueSeconds"] for c in all if not c["abandoned"]] for skill, all in of_skill.items()}
    yield "wait_time_by_skill", "skillId answered averageSeconds longestSeconds", [(s, len(v), sum(v) / len(v), max(v)) for s, v in waited.items() if v]
    yield "transfers_by_skill", "skillId transfers", [(s, sum((c.get("transferIndicatorId") or 0) > 0 for c in all)) for s, all in of_skill.items()]
    ends = Counter((c["primaryDispositionId"], c["skillId"]) for c in contacts if c.get("primaryDispositionId") is not None)
    yield "dispositions_by_skill", "primaryDispositionId skillId times", [(*key, count) for key, count in ends.items()]
    yield "busiest_half_hours", "halfHour contacts", list(Counter(half_hour(c["contactStartDate"]) for c in contacts).items())
    media = Counter((c["contactStartDate"][:10], c["mediaTypeName"], c["isOutbound"]) for c in contacts)
    yield "contacts_by_media_and_day", "date mediaTypeName isOutbound contacts", [(*key, count) for key, count in media.items()]
    yield "first_contact", "date contacts firstContacts", first_contacts((c["fromAddress"], c["contactStartDate"]) for c in contacts if not c["isOutbound"])


def own(truth):
    """The columns that a catalog of its user computes of lists of plain values."""
    conversations = truth("conversations")

    def divisions(row):
        return row.get("divisionIds") or [None]

    def codes(row):
        segments = [segment for *_, session in elements(row) for segment in session.get("segments") or []]
        return sum(sum(segment.get("sipResponseCodes") or []) for segment in segments)

    yield "conversations", "conversationId firstDivision lastDivision hasDivision codes", [
        (row["conversationId"], divisions(row)[0], divisions(row)[-1], divisions(row) != [None], codes(row)) for row in conversations
    ]
    yield "metrics", "conversationId name ofSession", [
        (row["conversationId"], metric["name"], True) for row in conversations for *_, session in elements(row) for metric in session.get("metrics") or []
    ]


def statements(sql):
    """The statements of a script. No text of it has a semicolon at the end of a line."""
    return [statement.strip() for statement in re.split(r";\n", sql) if statement.strip()]


def columns_of(connection, view):
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {view}").fetchall()}


def print_columns(sql):
    import duckdb

    connection = duckdb.connect()
    connection.execute(sql)
    for name in view_names(sql):
        print(f"{name}: {sorted(columns_of(connection, name).items())}")


def duckdb_engine(sql):
    import duckdb

    connection = duckdb.connect()
    # views must not depend on where they are read
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.execute(sql)
    run = lambda query: connection.execute(query.replace("INSTANT(", "epoch_us(")).fetchall()

    def replace(view, path):
        columns = columns_of(connection, view)
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM read_json('{path}', format = 'newline_delimited', columns = {columns})")

    # into a table, so that no column can be left out
    return run, lambda view: connection.execute(f"CREATE OR REPLACE TEMP TABLE whole AS SELECT * FROM {view}"), replace


def spark_engine(sql):
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.session.timeZone": "America/New_York", "spark.sql.shuffle.partitions": "2", "spark.log.level": "ERROR"}
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    for statement in statements(sql):
        session.sql(statement)
    run = lambda query: session.sql(query.replace("INSTANT(", "unix_micros(").replace('"', "`")).collect()

    def replace(view, path):
        session.read.schema(session.table(view).schema).json(path).write.parquet(f"{path}.parquet")
        session.sql(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM parquet.`{path}.parquet`")

    def read(view):
        rows = session.table(view)
        # reading all that is computed takes minutes; without that, this finds what is wrong with the columns
        if ".tables/" in sql:
            rows.write.format("noop").mode("overwrite").save()
        return rows.schema

    return run, read, replace


def plain(value):
    """A value as both sides write it."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000_000)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, float, Decimal)):
        return round(float(value), 6) if value != int(value) else int(value)
    return value


TIMES = {"conversationStart", "conversationEnd", "segmentStart", "segmentEnd", "emitDate", "halfHour", "contactStartDate", "interval"}


def compare(run, expected, about=""):
    for name, columns, wanted in expected:
        columns = columns.split()
        listed = ", ".join(f"INSTANT({column})" if column in TIMES else column for column in columns)
        found = Counter(tuple(map(plain, row)) for row in run(f"SELECT {listed} FROM {name}"))
        wanted = Counter(tuple(map(plain, row)) for row in wanted)
        differs = f"{list((found - wanted).items())[:3]} instead of {list((wanted - found).items())[:3]}"
        print(f"{about}{name}: equal" if found == wanted and wanted else f"{about}{name}: {differs}", flush=True)


def parse(dialect, sql):
    import sqlglot
    from sqlglot import exp

    for statement in statements(sql):
        # the one clause that sqlglot does not know; the program writes nothing else into it
        statement = re.sub(r"\nWITH PARTITION COLUMNS \(`date` DATE\)", "", statement)
        (tree,) = sqlglot.parse(statement, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
        assert isinstance(tree, exp.Create) and not list(tree.find_all(exp.Command)), statement
        print(f"{tree.this.name or tree.this.this.name}: parsed")


def view_names(sql):
    return re.findall(r"^CREATE OR REPLACE VIEW [`\"](\w+)[`\"] AS$", sql, re.MULTILINE)


def read_all(read, sql):
    """Reads every view, of which more are printed than compared."""
    names = view_names(sql)
    for name in names:
        read(name)
    print(f"{len(names)} views: read", flush=True)


def main(engine, sql, *rest):
    text = Path(sql).read_text(encoding="utf-8")
    if engine == "parse":
        return parse(rest[0], text)
    if engine == "columns":
        return print_columns(text)
    os.environ["TZ"] = "UTC"
    time.tzset()
    platform, folder = rest
    run, read, replace = {"duckdb": duckdb_engine, "spark": spark_engine}[engine](text)
    read_all(read, text)
    compare(run, {"genesys-cloud": genesys, "nice-cxone": cxone, "own": own}[platform](lambda dataset: rows(Path(folder) / dataset)))
    if platform == "genesys-cloud" and ".tables/" not in text:  # files of tables do not depend on the rows
        path = str(Path(folder).resolve() / f"odd.{engine}")
        Path(path).write_text("".join(json.dumps({"date": "2024-01-01", **row}) + "\n" for row in odd()))
        replace("conversations_rows", path)
        known = genesys(lambda dataset: odd() if dataset == "conversations" else [])
        compare(run, [case for case in known if case[0] in ODD], "odd ")


# the views that are also compared over odd rows
ODD = {"conversations", "participants", "sessions", "segments", "metrics"}


if __name__ == "__main__":
    main(*sys.argv[1:])
