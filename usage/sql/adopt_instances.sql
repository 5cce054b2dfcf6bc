-- A label is a claim that holds only where nobody was assigned. The unassigned tenant cannot be claimed.
INSERT INTO instance_tenant (instance_id, tenant_id, since)
SELECT i.instance_id, t.tenant_id, i.first_seen_at
FROM instance i
JOIN tenant t ON t.name = i.tenant_label AND t.tenant_id <> '00000000-0000-0000-0000-000000000000'
WHERE i.instance_id = ANY ($1)
  AND NOT EXISTS (SELECT FROM instance_tenant h WHERE h.instance_id = i.instance_id)
ORDER BY i.instance_id
RETURNING instance_id
