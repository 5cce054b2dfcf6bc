-- Correction $2, by a row of its own ($1).
INSERT INTO usage_correction (
    correction_id, tenant_id, kind, resource, device, meter, window_start, window_end, action, withdraws, reason, author,
    recorded_at
)
SELECT $1, c.tenant_id, c.kind, c.resource, c.device, c.meter, c.window_start, c.window_end, 'withdraw', c.correction_id,
       $3, $4, $5
FROM usage_correction c
WHERE c.correction_id = $2 AND c.action <> 'withdraw'
