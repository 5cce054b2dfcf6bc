-- By day, of one instance with its devices, or of one volume ($4).
SELECT d.day, d.meter, sum(d.quantity)::text AS quantity, sum(d.measured_us)::bigint AS measured_us,
       sum(d.estimated_us)::bigint AS estimated_us, sum(d.missing_us)::bigint AS missing_us
FROM tenant t
JOIN usage_day d ON d.tenant_id = t.tenant_id AND d.resource = $4 AND $2 <= d.day AND d.day < $3
WHERE $1::uuid IS NULL OR t.tenant_id = $1
GROUP BY d.day, d.meter
