-- Rows that would not change are left alone. Returns what changed.
INSERT INTO usage_record (
    tenant_id, kind, resource, device, meter, window_start, window_end, quantity, measured_us, estimated_us,
    missing_us, derived_at
)
SELECT x.tenant_id, x.kind, $1, x.device, x.meter, x.window_start, x.window_end, x.quantity, x.measured_us,
       x.estimated_us, x.missing_us, $2
FROM unnest(
    $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[]
) AS x (
    tenant_id, kind, device, meter, window_start, window_end, quantity, measured_us, estimated_us, missing_us
)
ON CONFLICT (tenant_id, resource, device, meter, window_start) DO UPDATE SET
    window_end = EXCLUDED.window_end,
    quantity = EXCLUDED.quantity,
    measured_us = EXCLUDED.measured_us,
    estimated_us = EXCLUDED.estimated_us,
    missing_us = EXCLUDED.missing_us,
    derived_at = EXCLUDED.derived_at
WHERE (usage_record.window_end, usage_record.quantity, usage_record.measured_us, usage_record.estimated_us,
       usage_record.missing_us)
      IS DISTINCT FROM
      (EXCLUDED.window_end, EXCLUDED.quantity, EXCLUDED.measured_us, EXCLUDED.estimated_us, EXCLUDED.missing_us)
RETURNING tenant_id, window_start
