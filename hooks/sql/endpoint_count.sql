SELECT count(*) AS endpoints
FROM webhook_endpoint
WHERE tenant_id = $1 AND removed_at IS NULL
