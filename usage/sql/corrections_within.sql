-- What excludes or adds usage of tenant $1 in [$2, $3) and was not withdrawn.
SELECT c.correction_id, c.kind, c.resource, c.device, c.meter, c.window_start, c.window_end, c.action, c.quantity
FROM usage_correction c
WHERE c.tenant_id = $1 AND c.action IN ('exclude', 'add') AND c.window_start < $3 AND $2 < c.window_end
  AND NOT EXISTS (SELECT FROM usage_correction w WHERE w.withdraws = c.correction_id)
ORDER BY c.recorded_at, c.correction_id
