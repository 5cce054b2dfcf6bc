INSERT INTO usage_day_total (tenant_id, day, meter, quantity, measured_us, estimated_us, missing_us, records)
SELECT d.tenant_id, d.day, d.meter, sum(d.quantity), sum(d.measured_us)::bigint, sum(d.estimated_us)::bigint,
       sum(d.missing_us)::bigint, sum(d.records)::bigint
FROM usage_day d
JOIN tenant t ON t.tenant_id = d.tenant_id
WHERE t.name LIKE 'bench-%'
GROUP BY 1, 2, 3
