-- Runs with something to do now, the oldest first.
SELECT r.run_id
FROM billing_run r
WHERE r.finished_at IS NULL
ORDER BY r.created_at
LIMIT $1
