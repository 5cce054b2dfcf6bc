-- The terms of a tenant that are in force.
SELECT revision, content, applied_at
FROM tenant_terms
WHERE tenant_id = $1
ORDER BY revision DESC
LIMIT 1
