SELECT d.tenant_id, t.name, d.meter, sum(d.quantity)::text AS quantity, sum(d.measured_us)::bigint AS measured_us,
       sum(d.estimated_us)::bigint AS estimated_us, sum(d.missing_us)::bigint AS missing_us
FROM usage_day_total d
JOIN tenant t ON t.tenant_id = d.tenant_id
WHERE $1 <= d.day AND d.day < $2 AND 0 < d.records
GROUP BY d.tenant_id, t.name, d.meter
