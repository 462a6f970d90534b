-- The ten questions about conversations. A block begins with the name of a view and the columns of tables that it
-- needs. `{segments}` stands for the view of that table. Days and half hours are those of UTC, durations in seconds.

-- view conversations_by_queue_and_day: segments.queueId, segments.conversationId
-- How many conversations does each queue have a day?
SELECT date, queueId, count(DISTINCT conversationId) AS conversations
FROM {segments} WHERE queueId IS NOT NULL GROUP BY date, queueId

-- view handle_time_by_agent: metrics.userId, metrics.name, metrics.value
-- How long does each agent take?
SELECT userId, count(*) AS handled, sum(value) / 1000 AS handleSeconds, avg(value) / 1000 AS averageSeconds
FROM {metrics} WHERE name = 'tHandle' AND userId IS NOT NULL GROUP BY userId

-- view abandon_rate_by_queue: metrics.queueId, metrics.name, metrics.value
-- How many of those who wait in a queue hang up?
SELECT queueId, offered, abandoned, abandoned / nullif(offered, 0) AS abandonRate FROM (
    SELECT queueId, sum(CASE WHEN name = 'nOffered' THEN value ELSE 0 END) AS offered,
        count(CASE WHEN name = 'tAbandon' THEN 1 END) AS abandoned
    FROM {metrics} WHERE queueId IS NOT NULL AND name IN ('nOffered', 'tAbandon') GROUP BY queueId
) AS sums

-- view service_level_by_queue: metrics.queueId, metrics.name, metrics.value
-- How many are answered within the time that the queue promises?
SELECT queueId, offered, late, 1 - late / nullif(offered, 0) AS serviceLevel FROM (
    SELECT queueId, sum(CASE WHEN name = 'nOffered' THEN value ELSE 0 END) AS offered,
        sum(CASE WHEN name = 'nOverSla' THEN value ELSE 0 END) AS late
    FROM {metrics} WHERE queueId IS NOT NULL AND name IN ('nOffered', 'nOverSla') GROUP BY queueId
) AS sums

-- view wait_time_by_queue: metrics.queueId, metrics.name, metrics.value
-- How long do people wait for an answer?
SELECT queueId, count(*) AS answered, avg(value) / 1000 AS averageSeconds, max(value) / 1000 AS longestSeconds
FROM {metrics} WHERE queueId IS NOT NULL AND name = 'tAnswered' GROUP BY queueId

-- view transfers_by_queue: metrics.queueId, metrics.name, metrics.value
-- How often do agents of a queue transfer?
SELECT queueId, sum(CASE WHEN name = 'nTransferred' THEN value ELSE 0 END) AS transfers,
    sum(CASE WHEN name = 'nBlindTransferred' THEN value ELSE 0 END) AS blindTransfers
FROM {metrics} WHERE queueId IS NOT NULL AND name IN ('nTransferred', 'nBlindTransferred') GROUP BY queueId

-- view wrap_up_codes: segments.wrapUpCode, segments.queueId
-- With which codes do conversations end?
SELECT wrapUpCode, queueId, count(*) AS times
FROM {segments} WHERE wrapUpCode IS NOT NULL GROUP BY wrapUpCode, queueId

-- view busiest_half_hours: conversations.conversationStart
-- When do most conversations begin?
SELECT halfHour, count(*) AS conversations
FROM (SELECT {half hour of conversationStart} AS halfHour FROM {conversations}) AS starts
GROUP BY halfHour ORDER BY conversations DESC, halfHour

-- view conversations_by_media_and_day: conversations.firstMediaType, conversations.originatingDirection
-- How many conversations of each medium and direction are there a day?
SELECT date, firstMediaType, originatingDirection, count(*) AS conversations
FROM {conversations} GROUP BY date, firstMediaType, originatingDirection

-- view first_contact: sessions.ani, sessions.addressFrom, sessions.purpose, sessions.participantNumber, sessions.sessionNumber, sessions.conversationStart
-- How many customers (addresses or numbers) had not been in touch for seven days before?
WITH contacts AS (
    SELECT date, conversationStart, coalesce(ani, addressFrom) AS customer FROM {sessions}
    WHERE purpose IN ('customer', 'external') AND participantNumber = 1 AND sessionNumber = 1
), with_earlier AS (
    SELECT date, conversationStart,
        lag(conversationStart) OVER (PARTITION BY customer ORDER BY conversationStart) AS earlier
    FROM contacts WHERE customer IS NOT NULL
)
SELECT date, count(*) AS contacts,
    count(CASE WHEN earlier IS NULL OR {seconds from earlier to conversationStart} > 604800 THEN 1 END) AS firstContacts
FROM with_earlier GROUP BY date
