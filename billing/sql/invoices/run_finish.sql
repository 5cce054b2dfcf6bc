-- Finished once nothing waits, not even for another attempt.
UPDATE billing_run r
SET finished_at = greatest($2::timestamptz, r.created_at)
WHERE r.run_id = $1 AND r.finished_at IS NULL
  AND NOT EXISTS (SELECT FROM billing_run_item i
                  WHERE i.run_id = r.run_id AND (i.state = 'waiting' OR i.retry_at IS NOT NULL))
