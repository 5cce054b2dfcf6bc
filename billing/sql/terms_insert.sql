INSERT INTO tenant_terms (tenant_id, revision, content, applied_at)
VALUES ($1, $2, $3, $4)
