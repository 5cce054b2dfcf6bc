-- The newest first, from behind ($2, $3) on.
WHERE ($1::uuid IS NULL OR p.tenant_id = $1)
  AND ($2::timestamptz IS NULL OR (p.recorded_at, p.payment_id) < ($2, $3::uuid))
ORDER BY p.recorded_at DESC, p.payment_id DESC
LIMIT $4
