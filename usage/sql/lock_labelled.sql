-- The instances that wait for a tenant of this name; locked, so that ingest does not adopt them at the same time.
SELECT i.instance_id
FROM instance i
WHERE i.tenant_label = $1 AND NOT EXISTS (SELECT FROM instance_tenant h WHERE h.instance_id = i.instance_id)
ORDER BY i.instance_id
FOR NO KEY UPDATE OF i
