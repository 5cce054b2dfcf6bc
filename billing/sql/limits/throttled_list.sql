SELECT instance_id, tenant_id, bounds, notices, since
FROM throttled_instance
ORDER BY instance_id
LIMIT $1
