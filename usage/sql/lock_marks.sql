-- What ingest is marking at this moment is skipped: its readings cannot be seen yet.
SELECT window_start, window_end
FROM dirty_window
WHERE kind = $1 AND resource = $2
ORDER BY window_start
LIMIT $3
FOR UPDATE SKIP LOCKED
