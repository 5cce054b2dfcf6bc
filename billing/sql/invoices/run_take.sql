-- The next tenant of a run. Its row stays locked until what became of it is recorded: whoever takes one and dies gives
-- it back.
SELECT tenant_id, attempts
FROM billing_run_item
WHERE run_id = $1 AND (state = 'waiting' OR (state = 'failed' AND retry_at <= $2))
ORDER BY tenant_id
LIMIT 1
FOR UPDATE SKIP LOCKED
