-- The volumes of instances that were just adopted ($1), and those whose facts are new ($2).
INSERT INTO volume_tenant (volume_id, tenant_id, since)
SELECT v.volume_id, h.tenant_id, v.first_seen_at
FROM volume v
JOIN instance_tenant h ON h.instance_id = v.instance_id AND h.until IS NULL
WHERE (v.instance_id = ANY ($1) OR v.volume_id = ANY ($2))
  AND NOT EXISTS (SELECT FROM volume_tenant o WHERE o.volume_id = v.volume_id)
ORDER BY v.volume_id
RETURNING volume_id
