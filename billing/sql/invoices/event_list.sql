-- UUIDs of version 7: in the order of time, also within a microsecond.
SELECT at, actor, action, note
FROM invoice_event
WHERE invoice_id = $1
ORDER BY at, event_id
LIMIT $2
