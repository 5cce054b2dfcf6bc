-- What a tenant's allowance was changed under, after the new one was compared ($1: the tenant).
UPDATE limit_action AS l
SET ended_at = $2, ended_because = 'the allowance was changed'
FROM allowance a
WHERE l.tenant_id = $1 AND l.ended_at IS NULL AND a.tenant_id = l.tenant_id AND a.name = l.name AND a.revision <> l.revision
