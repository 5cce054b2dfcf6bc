-- What tenant $1 used from day $2 to day $3, by resource and meter.
SELECT kind, resource, device, meter,
       sum(quantity)::bigint AS quantity,
       sum(measured_us)::bigint AS measured_us,
       sum(estimated_us)::bigint AS estimated_us,
       sum(missing_us)::bigint AS missing_us
FROM usage_day
WHERE tenant_id = $1 AND $2 <= day AND day < $3 AND 0 < records
GROUP BY kind, resource, device, meter
