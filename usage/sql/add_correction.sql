INSERT INTO usage_correction (
    correction_id, tenant_id, kind, resource, device, meter, window_start, window_end, action, quantity, reason, author,
    recorded_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (correction_id) DO NOTHING
