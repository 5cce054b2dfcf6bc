-- Those of tenant $2 and meter $7 that touch [$3, $4), the latest first, after $5; or the one that is $1. NULL: whichever.
SELECT c.correction_id, c.tenant_id, c.kind, c.resource, c.device, c.meter, c.window_start, c.window_end, c.action,
       c.quantity, c.reason, c.author, c.recorded_at, w.correction_id AS withdrawal_id, w.reason AS withdrawn_reason, w.author AS withdrawn_author,
       w.recorded_at AS withdrawn_at
FROM usage_correction c
LEFT JOIN usage_correction w ON w.withdraws = c.correction_id
WHERE c.action <> 'withdraw'
  AND ($1::uuid IS NULL OR c.correction_id = $1)
  AND ($2::uuid IS NULL OR c.tenant_id = $2)
  AND ($3::timestamptz IS NULL OR $3 < c.window_end)
  AND ($4::timestamptz IS NULL OR c.window_start < $4)
  AND ($5::uuid IS NULL
       OR (c.recorded_at, c.correction_id)
          < (SELECT a.recorded_at, a.correction_id FROM usage_correction a WHERE a.correction_id = $5))
  AND ($7::text IS NULL OR c.meter = $7)
ORDER BY c.recorded_at DESC, c.correction_id DESC
LIMIT $6
