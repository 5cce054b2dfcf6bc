-- The same id again is the same request again.
INSERT INTO webhook_endpoint (endpoint_id, tenant_id, url, description, types, secret, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (endpoint_id) DO NOTHING
