-- What tenant $1 holds now (NULL: all; the unassigned tenant: what nobody holds), in the order of names, from after
-- ($5, $6) on. State $2 (NULL: all but gone), and $3 in the name or $4 the id.
SELECT
    i.instance_id, i.name, i.node_id, n.name AS node_name, h.tenant_id, t.name AS tenant_name, i.tenant_label,
    i.state, i.first_seen_at, i.last_seen_at, i.gone_at, i.last_vcpus AS vcpus, i.last_memory_kib AS memory_kib
FROM instance i
LEFT JOIN node n ON n.node_id = i.node_id
LEFT JOIN instance_tenant h ON h.instance_id = i.instance_id AND h.until IS NULL
LEFT JOIN tenant t ON t.tenant_id = h.tenant_id
WHERE ($1::uuid IS NULL
       OR COALESCE(h.tenant_id, '00000000-0000-0000-0000-000000000000') = $1)
  AND CASE WHEN $2::text IS NULL THEN i.gone_at IS NULL ELSE i.state = $2 END
  AND ($3::text IS NULL OR 0 < strpos(lower(i.name), lower($3)) OR i.instance_id = $4)
  AND ($5::text IS NULL OR ($5, $6::uuid) < (i.name, i.instance_id))
ORDER BY i.name, i.instance_id
LIMIT $7
