-- The records of [$1, $2) in windows of an hour: whatever the bench made, with all meters ($3 to $5).
INSERT INTO usage_record (
    tenant_id, kind, resource, device, meter, window_start, window_end, quantity, measured_us, estimated_us,
    missing_us, derived_at
)
SELECT h.tenant_id, m.kind, CASE m.kind WHEN 'volume' THEN v.volume_id ELSE i.instance_id END, m.device, m.meter, w.at,
       w.at + INTERVAL '1 hour', 1000000 + (hashtext(i.name || m.meter) & 65535) * (EXTRACT(HOUR FROM w.at)::bigint + 1),
       3600000000, 0, 0, w.at + INTERVAL '1 hour'
FROM generate_series($1::timestamptz, $2::timestamptz - INTERVAL '1 hour', INTERVAL '1 hour') AS w (at)
CROSS JOIN instance i
JOIN instance_tenant h ON h.instance_id = i.instance_id
JOIN volume v ON v.instance_id = i.instance_id
CROSS JOIN unnest($3::text[], $4::text[], $5::text[]) AS m (kind, device, meter)
WHERE i.name LIKE 'bench-%'
