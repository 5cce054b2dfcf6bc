-- By instance, device or volume, of one meter ($4), or of one resource alone ($5). By tenant, so that the index serves.
SELECT d.kind, d.resource, d.device, sum(d.quantity)::text AS quantity, sum(d.measured_us)::bigint AS measured_us,
       sum(d.estimated_us)::bigint AS estimated_us, sum(d.missing_us)::bigint AS missing_us
FROM tenant t
JOIN usage_day d ON d.tenant_id = t.tenant_id AND d.meter = $4 AND $2 <= d.day AND d.day < $3
WHERE ($1::uuid IS NULL OR t.tenant_id = $1) AND ($5::uuid IS NULL OR d.resource = $5)
GROUP BY d.kind, d.resource, d.device
