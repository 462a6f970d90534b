-- Views over the nested files of conversations, for DuckDB. A block begins with the name of a view and what it
-- needs: datasets, or columns of them. `{conversations}` stands for the files of that dataset. Times are grouped
-- in UTC, durations are in seconds.

-- view participants: conversations
-- Customers, agents, queues, flows …: a row for each participant of a conversation.
SELECT c.conversationId, c.conversationStart, c.date, w.number AS participantNumber, w.p.participantId,
    w.p.participantName, w.p.purpose, w.p.userId, w.p.externalContactId, w.p.externalOrganizationId, w.p.teamId
FROM {conversations} AS c, unnest(c.participants) WITH ORDINALITY AS w(p, number)

-- view attributes: conversations.participants.attributes
-- A row for each attribute of a participant.
SELECT c.conversationId, c.conversationStart, c.date, u.p.participantId, a.entry.key AS name, a.entry.value AS value
FROM {conversations} AS c, unnest(c.participants) AS u(p), unnest(map_entries(u.p.attributes)) AS a(entry)

-- view sessions: conversations
-- A row for each connection of a participant on one medium.
SELECT c.conversationId, c.conversationStart, c.date, u.p.participantId, u.number AS participantNumber,
    u.p.purpose, u.p.userId, w.s.sessionId, w.number AS sessionNumber, w.s.mediaType, w.s.messageType, w.s.direction, w.s.ani, w.s.dnis, w.s.addressFrom,
    w.s.addressTo, w.s.provider, w.s.flow.flowId AS flowId, w.s.flow.flowName AS flowName, w.s.outboundCampaignId
FROM {conversations} AS c, unnest(c.participants) WITH ORDINALITY AS u(p, number),
    unnest(u.p.sessions) WITH ORDINALITY AS w(s, number)

-- view segments: conversations
-- A row for each part of a session in one state: ivr, alert, interact, hold, wrapup …
SELECT c.conversationId, c.conversationStart, c.date, u.p.participantId, u.p.purpose, u.p.userId, v.s.sessionId,
    v.s.mediaType, w.number AS segmentNumber, w.g.segmentType, w.g.segmentStart, w.g.segmentEnd,
    (epoch_us(w.g.segmentEnd) - epoch_us(w.g.segmentStart)) / 1000000 AS seconds, w.g.queueId, w.g.wrapUpCode, w.g.wrapUpNote,
    w.g.disconnectType, w.g.errorCode
FROM {conversations} AS c, unnest(c.participants) AS u(p), unnest(u.p.sessions) AS v(s),
    unnest(v.s.segments) WITH ORDINALITY AS w(g, number)

-- view metrics: conversations
-- A row for each metric, with the queue and the user that it belongs to. Durations (t…) are in milliseconds.
SELECT c.conversationId, c.conversationStart, c.date, u.p.participantId, u.p.purpose, u.p.userId, v.s.sessionId,
    v.s.mediaType, m.m.name, m.m.value, m.m.emitDate,
    list_filter(list_transform(v.s.segments, lambda g: g.queueId), lambda id: id IS NOT NULL)[1] AS queueId
FROM {conversations} AS c, unnest(c.participants) AS u(p), unnest(u.p.sessions) AS v(s), unnest(v.s.metrics) AS m(m)

-- view conversations: conversations
-- A row for each conversation, with its sums. `answered` and `abandoned` say whether a queue answered or lost it.
WITH sums AS (
    SELECT conversationId,
        coalesce(sum(value) FILTER (WHERE name = 'tTalkComplete'), 0) / 1000 AS talkSeconds,
        coalesce(sum(value) FILTER (WHERE name = 'tHeldComplete'), 0) / 1000 AS holdSeconds,
        coalesce(sum(value) FILTER (WHERE name = 'tAcd'), 0) / 1000 AS waitSeconds,
        coalesce(sum(value) FILTER (WHERE name = 'tAcw'), 0) / 1000 AS wrapUpSeconds,
        coalesce(sum(value) FILTER (WHERE name = 'tHandle'), 0) / 1000 AS handleSeconds,
        coalesce(sum(value) FILTER (WHERE name = 'nTransferred'), 0) AS transfers,
        coalesce(bool_or(name = 'tAnswered'), false) AS answered,
        coalesce(bool_or(name = 'tAbandon'), false) AS abandoned
    FROM metrics GROUP BY conversationId
), parts AS (
    SELECT conversationId,
        arg_min(queueId, (segmentStart, segmentNumber)) FILTER (WHERE queueId IS NOT NULL) AS firstQueueId,
        arg_max(userId, (segmentStart, segmentNumber)) FILTER (WHERE purpose = 'agent') AS lastUserId,
        arg_max(wrapUpCode, (segmentStart, segmentNumber)) FILTER (WHERE wrapUpCode IS NOT NULL) AS wrapUpCode,
        arg_min(mediaType, (segmentStart, segmentNumber)) AS firstMediaType,
        arg_max(mediaType, (segmentStart, segmentNumber)) AS lastMediaType
    FROM segments GROUP BY conversationId
)
SELECT c.conversationId, c.conversationStart, c.conversationEnd, c.date, c.originatingDirection,
    (epoch_us(c.conversationEnd) - epoch_us(c.conversationStart)) / 1000000 AS durationSeconds,
    parts.* EXCLUDE (conversationId), sums.* EXCLUDE (conversationId)
FROM {conversations} AS c LEFT JOIN parts USING (conversationId) LEFT JOIN sums USING (conversationId)

-- view conversations_by_queue_and_day: conversations
-- How many conversations does each queue have a day?
SELECT date, queueId, count(DISTINCT conversationId) AS conversations
FROM segments WHERE queueId IS NOT NULL GROUP BY date, queueId

-- view handle_time_by_agent: conversations
-- How long does each agent take?
SELECT userId, count(*) AS handled, sum(value) / 1000 AS handleSeconds, avg(value) / 1000 AS averageSeconds
FROM metrics WHERE name = 'tHandle' AND userId IS NOT NULL GROUP BY userId

-- view abandon_rate_by_queue: conversations
-- How many of those who wait in a queue hang up?
SELECT queueId, sum(value) FILTER (WHERE name = 'nOffered') AS offered,
    count(*) FILTER (WHERE name = 'tAbandon') AS abandoned, abandoned / offered AS abandonRate
FROM metrics WHERE queueId IS NOT NULL AND name IN ('nOffered', 'tAbandon') GROUP BY queueId

-- view service_level_by_queue: conversations
-- How many are answered within the time that the queue promises?
SELECT queueId, sum(value) FILTER (WHERE name = 'nOffered') AS offered,
    coalesce(sum(value) FILTER (WHERE name = 'nOverSla'), 0) AS late, 1 - late / offered AS serviceLevel
FROM metrics WHERE queueId IS NOT NULL AND name IN ('nOffered', 'nOverSla') GROUP BY queueId

-- view wait_time_by_queue: conversations
-- How long do people wait for an answer?
SELECT queueId, count(*) AS answered, avg(value) / 1000 AS averageSeconds, max(value) / 1000 AS longestSeconds
FROM metrics WHERE queueId IS NOT NULL AND name = 'tAnswered' GROUP BY queueId

-- view transfers_by_queue: conversations
-- How often do agents of a queue transfer?
SELECT queueId, coalesce(sum(value) FILTER (WHERE name = 'nTransferred'), 0) AS transfers,
    coalesce(sum(value) FILTER (WHERE name = 'nBlindTransferred'), 0) AS blindTransfers
FROM metrics WHERE queueId IS NOT NULL AND name IN ('nTransferred', 'nBlindTransferred') GROUP BY queueId

-- view wrap_up_codes: conversations
-- With which codes do conversations end?
SELECT wrapUpCode, queueId, count(*) AS times
FROM segments WHERE wrapUpCode IS NOT NULL GROUP BY wrapUpCode, queueId

-- view busiest_half_hours: conversations
-- When do most conversations begin?
SELECT time_bucket(INTERVAL 30 minutes, conversationStart) AS halfHour, count(*) AS conversations
FROM {conversations} GROUP BY halfHour ORDER BY conversations DESC, halfHour

-- view conversations_by_media_and_day: conversations
-- How many conversations of each medium and direction are there a day?
SELECT date, firstMediaType, originatingDirection, count(*) AS conversations
FROM conversations GROUP BY date, firstMediaType, originatingDirection

-- view first_contact: conversations
-- How many customers had not been in touch for seven days before? A customer is an address or a number.
WITH contacts AS (
    SELECT date, conversationStart, coalesce(ani, addressFrom) AS customer FROM sessions
    WHERE purpose IN ('customer', 'external') AND participantNumber = 1 AND sessionNumber = 1
), known AS (
    SELECT *, lag(conversationStart) OVER (PARTITION BY customer ORDER BY conversationStart) AS earlier
    FROM contacts WHERE customer IS NOT NULL
)
SELECT date, count(*) AS contacts,
    count(*) FILTER (WHERE earlier IS NULL OR conversationStart - earlier > INTERVAL 7 days) AS firstContacts
FROM known GROUP BY date
