SELECT quarantine_id, node_id, seq, received_at, kind, reason, clock_error_us, payload
FROM quarantine
WHERE released_at IS NULL
ORDER BY received_at DESC, node_id, seq DESC, quarantine_id
LIMIT $1
