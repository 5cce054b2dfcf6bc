SELECT kind, resource, device, meter, sum(quantity)::bigint AS quantity
FROM usage_record
WHERE $1::uuid IS NULL OR resource = $1
GROUP BY kind, resource, device, meter
