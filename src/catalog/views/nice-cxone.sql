-- The ten questions about contacts. A block begins with the name of a view and the columns of tables that it needs.
-- `{contacts}` stands for the view of that table. Days and half hours are those of UTC, durations in seconds.

-- view contacts_by_skill_and_day: contacts.skillId, contacts.skillName
-- How many contacts does each skill have a day?
SELECT date, skillId, max(skillName) AS skillName, count(*) AS contacts
FROM {contacts} WHERE skillId IS NOT NULL GROUP BY date, skillId

-- view handle_time_by_agent: contacts.agentId, contacts.agentSeconds, contacts.acwSeconds
-- How long does each agent take, the work after a contact included?
SELECT agentId, count(*) AS handled,
    sum(coalesce(agentSeconds, 0) + coalesce(acwSeconds, 0)) AS handleSeconds,
    avg(coalesce(agentSeconds, 0) + coalesce(acwSeconds, 0)) AS averageSeconds
FROM {contacts} WHERE agentId IS NOT NULL GROUP BY agentId

-- view abandon_rate_by_skill: contacts.skillId, contacts.abandoned, contacts.isOutbound
-- How many of those who wait for a skill hang up?
SELECT skillId, offered, abandonedContacts, abandonedContacts / offered AS abandonRate FROM (
    SELECT skillId, count(*) AS offered, count(CASE WHEN abandoned THEN 1 END) AS abandonedContacts
    FROM {contacts} WHERE skillId IS NOT NULL AND NOT coalesce(isOutbound, false) GROUP BY skillId
) AS sums

-- view service_level_by_skill: contacts.skillId, contacts.serviceLevelFlag
-- How many are answered in the time that the skill promises (flag 1), and how many not (flag 0)?
SELECT skillId, counted, inTime, inTime / counted AS serviceLevel FROM (
    SELECT skillId, count(*) AS counted, count(CASE WHEN serviceLevelFlag = 1 THEN 1 END) AS inTime
    FROM {contacts} WHERE skillId IS NOT NULL AND serviceLevelFlag IN (0, 1) GROUP BY skillId
) AS sums

-- view wait_time_by_skill: contacts.skillId, contacts.inQueueSeconds, contacts.abandoned
-- How long do people wait for an answer?
SELECT skillId, count(*) AS answered, avg(inQueueSeconds) AS averageSeconds, max(inQueueSeconds) AS longestSeconds
FROM {contacts} WHERE skillId IS NOT NULL AND NOT coalesce(abandoned, false) AND inQueueSeconds IS NOT NULL
GROUP BY skillId

-- view transfers_by_skill: contacts.skillId, contacts.transferIndicatorId
-- How often are contacts of a skill transferred (indicator above 0)?
SELECT skillId, count(CASE WHEN transferIndicatorId > 0 THEN 1 END) AS transfers
FROM {contacts} WHERE skillId IS NOT NULL GROUP BY skillId

-- view dispositions_by_skill: contacts.primaryDispositionId, contacts.skillId
-- With which dispositions do contacts end?
SELECT primaryDispositionId, skillId, count(*) AS times
FROM {contacts} WHERE primaryDispositionId IS NOT NULL GROUP BY primaryDispositionId, skillId

-- view busiest_half_hours: contacts.contactStartDate
-- When do most contacts begin?
SELECT halfHour, count(*) AS contacts
FROM (SELECT {half hour of contactStartDate} AS halfHour FROM {contacts}) AS starts
GROUP BY halfHour ORDER BY contacts DESC, halfHour

-- view contacts_by_media_and_day: contacts.mediaTypeName, contacts.isOutbound
-- How many contacts of each medium and direction are there a day?
SELECT date, mediaTypeName, isOutbound, count(*) AS contacts
FROM {contacts} GROUP BY date, mediaTypeName, isOutbound

-- view first_contact: contacts.fromAddress, contacts.contactStartDate, contacts.isOutbound
-- How many customers (addresses or numbers) had not been in touch for seven days before?
WITH with_earlier AS (
    SELECT date, contactStartDate,
        lag(contactStartDate) OVER (PARTITION BY fromAddress ORDER BY contactStartDate) AS earlier
    FROM {contacts} WHERE fromAddress IS NOT NULL AND NOT coalesce(isOutbound, false)
)
SELECT date, count(*) AS contacts,
    count(CASE WHEN earlier IS NULL OR {seconds from earlier to contactStartDate} > 604800 THEN 1 END) AS firstContacts
FROM with_earlier GROUP BY date
