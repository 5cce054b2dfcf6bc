-- Counts an attempt and returns the count; returns nothing, and counts nothing, when there were too many already.
-- Too many lapse some time after the last one; fewer, some time after the first one.
INSERT INTO login_failure AS f (name, address, failures, first_failed_at, last_failed_at)
VALUES ($1, $2, 1, $3, $3)
ON CONFLICT (name, address) DO UPDATE
SET failures        = CASE WHEN f.first_failed_at <= $4 THEN 1 ELSE f.failures + 1 END,
    first_failed_at = CASE WHEN f.first_failed_at <= $4 THEN $3 ELSE f.first_failed_at END,
    last_failed_at  = $3
WHERE f.failures < $5 OR f.last_failed_at <= $4
RETURNING failures
