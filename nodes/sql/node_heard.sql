UPDATE node
SET last_heard_at = GREATEST(last_heard_at, $2), release = COALESCE($3, release),
    backlog_batches = COALESCE($4, backlog_batches)
WHERE node_id = $1
