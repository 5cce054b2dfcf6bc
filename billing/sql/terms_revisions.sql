-- The terms of a tenant that were in force, up to a revision, the newest first.
SELECT revision, applied_at, CASE WHEN $4 THEN content END AS content
FROM tenant_terms
WHERE tenant_id = $1 AND revision <= $2
ORDER BY revision DESC
LIMIT $3
