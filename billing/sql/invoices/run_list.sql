-- The newest first, from behind ($1, $2) on.
WHERE $1::timestamptz IS NULL OR (r.created_at <= $1 AND (r.created_at, r.run_id) < ($1, $2::uuid))
ORDER BY r.created_at DESC, r.run_id DESC
LIMIT $3
