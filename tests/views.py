"""Runs the views that the program prints in DuckDB and compares them with the truth, without a line of their SQL.

    views.py SQL CONVERSATIONS QUEUES

The last two are NDJSON. Prints `NAME: equal` for each view, or what differs.
"""

import json
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import duckdb


def rows(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


def parts(conversations):
    """Each conversation with its participants and their sessions."""
    for row in conversations:
        for participant in row.get("participants") or []:
            for session in participant.get("sessions") or []:
                yield row, participant, session


def metrics(conversations):
    """Each metric with its conversation, participant and queue."""
    for row, participant, session in parts(conversations):
        queues = [segment["queueId"] for segment in session.get("segments") or [] if segment.get("queueId")]
        for metric in session.get("metrics") or []:
            yield row, participant, queues[0] if queues else None, metric["name"], metric["value"]


def first_contacts(conversations):
    found, known = defaultdict(lambda: [0, 0]), {}
    for row in sorted(conversations, key=lambda row: row["conversationStart"]):
        participant = row["participants"][0]
        if participant["purpose"] not in ("customer", "external") or not participant.get("sessions"):
            continue
        customer = participant["sessions"][0].get("ani") or participant["sessions"][0].get("addressFrom")
        if customer is None:
            continue
        start = datetime.fromisoformat(row["conversationStart"])
        found[day(row)][0] += 1
        found[day(row)][1] += customer not in known or start - known[customer] > timedelta(days=7)
        known[customer] = start
    return {(date, *counts) for date, counts in found.items()}


def day(row):
    return row["conversationStart"][:10]


def half_hour(row):
    start = datetime.fromisoformat(row["conversationStart"])
    return f"{start.replace(minute=start.minute // 30 * 30, second=0, microsecond=0):%Y-%m-%d %H:%M}"


def sums(conversations, wanted, key):
    """Per key, how often each metric occurs and the sum of its values."""
    counted, summed = defaultdict(Counter), defaultdict(Counter)
    for row, participant, queue, name, value in metrics(conversations):
        at = {"queue": queue, "user": participant.get("userId")}[key]
        if at is not None and name in wanted:
            counted[at][name] += 1
            summed[at][name] += value
    return counted, summed


def answers(conversations, queues):
    """The rows that the views must have, by the query that selects what is compared."""
    participants = [(row, p) for row in conversations for p in row.get("participants") or []]
    segments = [(r, p, s, g) for r, p, s in parts(conversations) for g in s.get("segments") or []]
    by_queue = {(day(r), g["queueId"], r["conversationId"]) for r, _, _, g in segments if g.get("queueId")}
    handled = sums(conversations, {"tHandle"}, "user")
    waiting = sums(conversations, {"tAnswered"}, "queue")
    lost = sums(conversations, {"nOffered", "tAbandon"}, "queue")
    late = sums(conversations, {"nOffered", "nOverSla"}, "queue")
    moved = sums(conversations, {"nTransferred", "nBlindTransferred"}, "queue")
    talk, transfers = Counter(), Counter()
    for row, _, _, name, value in metrics(conversations):
        talk[row["conversationId"]] += value if name == "tTalkComplete" else 0
        transfers[row["conversationId"]] += value if name == "nTransferred" else 0
    names = {row["conversationId"]: {m[3] for m in metrics([row])} for row in conversations}
    return {
        "SELECT participantId, purpose, userId FROM participants": {(p["participantId"], p["purpose"], p.get("userId")) for _, p in participants},
        "SELECT count(*) FROM participants": {(len(participants),)},
        "SELECT count(*), count(DISTINCT sessionId) FROM sessions": {(len(list(parts(conversations))), len({s["sessionId"] for _, _, s in parts(conversations)}))},
        "SELECT count(*), count(wrapUpCode), count(queueId) FROM segments": {(len(segments), sum("wrapUpCode" in g for *_, g in segments), sum("queueId" in g for *_, g in segments))},
        "SELECT name, count(*), sum(value)::BIGINT FROM metrics GROUP BY name": {
            (name, sum(m[3] == name for m in metrics(conversations)), sum(m[4] for m in metrics(conversations) if m[3] == name))
            for name in {m[3] for m in metrics(conversations)}
        },
        "SELECT count(*) FROM attributes": {(sum(len(p.get("attributes") or {}) for _, p in participants),)},
        "SELECT conversationId, originatingDirection, (talkSeconds * 1000)::BIGINT, transfers::BIGINT, answered, abandoned FROM conversations": {
            (id, row.get("originatingDirection"), talk[id], transfers[id], "tAnswered" in names[id], "tAbandon" in names[id])
            for row in conversations for id in [row["conversationId"]]
        },
        "SELECT date::VARCHAR, queueId, conversations FROM conversations_by_queue_and_day": {(*key, n) for key, n in Counter((d, q) for d, q, _ in by_queue).items()},
        "SELECT userId, handled, (handleSeconds * 1000)::BIGINT FROM handle_time_by_agent": {(u, handled[0][u]["tHandle"], handled[1][u]["tHandle"]) for u in handled[0]},
        "SELECT queueId, answered, (longestSeconds * 1000)::BIGINT FROM wait_time_by_queue": {
            (q, waiting[0][q]["tAnswered"], max(m[4] for m in metrics(conversations) if m[2] == q and m[3] == "tAnswered")) for q in waiting[0]
        },
        "SELECT queueId, offered::BIGINT, abandoned FROM abandon_rate_by_queue": {(q, lost[1][q]["nOffered"], lost[0][q]["tAbandon"]) for q in lost[0]},
        "SELECT queueId, late::BIGINT, serviceLevel FROM service_level_by_queue": {(q, late[1][q]["nOverSla"], 1 - late[1][q]["nOverSla"] / late[1][q]["nOffered"]) for q in late[0]},
        "SELECT queueId, transfers::BIGINT, blindTransfers::BIGINT FROM transfers_by_queue": {(q, moved[1][q]["nTransferred"], moved[1][q]["nBlindTransferred"]) for q in moved[0]},
        "SELECT wrapUpCode, sum(times)::BIGINT FROM wrap_up_codes GROUP BY wrapUpCode": set(Counter(g["wrapUpCode"] for *_, g in segments if g.get("wrapUpCode")).items()),
        "SELECT strftime(halfHour AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M'), conversations FROM busiest_half_hours": set(Counter(map(half_hour, conversations)).items()),
        "SELECT originatingDirection, sum(conversations)::BIGINT FROM conversations_by_media_and_day GROUP BY ALL": set(Counter(row.get("originatingDirection") for row in conversations).items()),
        "SELECT date::VARCHAR, contacts, firstContacts FROM first_contact": first_contacts(conversations),
        "SELECT id, name FROM current_queues": {(row["id"], row["name"]) for row in queues},
    }


def main(sql, conversations, queues):
    connection = duckdb.connect()
    # views must not depend on where they are read
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.execute(Path(sql).read_text(encoding="utf-8"))
    for query, expected in answers(rows(conversations), rows(queues)).items():
        found = set(connection.execute(query).fetchall())
        name = query.split(" FROM ")[1].split()[0]
        print(f"{name}: equal" if found == expected else f"{name}: {list(found ^ expected)[:4]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
