SELECT kind, resource, device, meter,
       sum(quantity)::bigint AS quantity,
       sum(measured_us)::bigint AS measured_us,
       sum(estimated_us)::bigint AS estimated_us,
       sum(missing_us)::bigint AS missing_us
FROM usage_record
WHERE tenant_id = $1 AND $2 <= window_start AND window_end <= $3
GROUP BY kind, resource, device, meter
