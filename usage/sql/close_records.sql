-- The records of resources $2 of tenant $1 in [$3, $4), one by one.
SELECT kind, resource, device, meter, window_start, window_end, quantity, measured_us, estimated_us, missing_us
FROM usage_record
WHERE tenant_id = $1 AND resource = ANY ($2::uuid[]) AND $3 <= window_start AND window_end <= $4
