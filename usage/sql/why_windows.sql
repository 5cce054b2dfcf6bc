SELECT window_start, window_end, quantity, measured_us, estimated_us, missing_us
FROM usage_record
WHERE tenant_id = $1 AND resource = $2 AND device = $3 AND meter = $4 AND $5 <= window_start AND window_end <= $6
ORDER BY window_start
