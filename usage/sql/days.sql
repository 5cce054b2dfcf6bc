-- By day, over everything that tenant $1 (NULL: whoever the scope may see) had.
SELECT d.day, d.meter, sum(d.quantity)::text AS quantity, sum(d.measured_us)::bigint AS measured_us,
       sum(d.estimated_us)::bigint AS estimated_us, sum(d.missing_us)::bigint AS missing_us
FROM usage_day_total d
WHERE ($1::uuid IS NULL OR d.tenant_id = $1) AND $2 <= d.day AND d.day < $3 AND 0 < d.records
GROUP BY d.day, d.meter
