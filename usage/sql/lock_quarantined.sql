-- Who releases the same batch at the same time waits here, and then finds nothing.
SELECT quarantine_id, kind, clock_error_us, payload
FROM quarantine
WHERE node_id = $1 AND seq = $2 AND released_at IS NULL
ORDER BY quarantine_id
FOR UPDATE
