-- The usage of day $1 (UTC's) of the instances from $2 to before $3, with all meters ($4 to $6): the rows of days with the
-- quantities of their windows of an hour, and from these the records.
WITH made AS (
    INSERT INTO usage_day (
        tenant_id, day, kind, resource, device, meter, quantity, measured_us, estimated_us, missing_us, records,
        first_window, windows
    )
    SELECT h.tenant_id, $1::date, m.kind, CASE m.kind WHEN 'volume' THEN v.volume_id ELSE i.instance_id END, m.device,
           m.meter, (SELECT sum(w.quantity) FROM unnest(d.windows) AS w (quantity)), 86400000000, 0, 0, 24,
           $1::date::timestamp AT TIME ZONE 'UTC', d.windows
    FROM instance i
    JOIN instance_tenant h ON h.instance_id = i.instance_id
    JOIN volume v ON v.instance_id = i.instance_id
    CROSS JOIN unnest($4::text[], $5::text[], $6::text[]) AS m (kind, device, meter)
    CROSS JOIN LATERAL (
        SELECT array_agg(1000000 + (hashtext(i.name || m.meter) & 65535) * hour ORDER BY hour) AS windows
        FROM generate_series(1::bigint, 24) AS hour
    ) d
    WHERE $2 <= i.name AND i.name < $3
    RETURNING tenant_id, kind, resource, device, meter, first_window, windows
)
INSERT INTO usage_record (
    tenant_id, kind, resource, device, meter, window_start, window_end, quantity, measured_us, estimated_us,
    missing_us, derived_at
)
SELECT m.tenant_id, m.kind, m.resource, m.device, m.meter, m.first_window + (w.n - 1) * INTERVAL '1 hour',
       m.first_window + w.n * INTERVAL '1 hour', w.quantity, 3600000000, 0, 0, m.first_window + w.n * INTERVAL '1 hour'
FROM made m
CROSS JOIN LATERAL unnest(m.windows) WITH ORDINALITY AS w (quantity, n)
