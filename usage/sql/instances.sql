-- All that the scope may see; or, where asked, those of one id ($1) or name ($2). What the latest reading says is for
-- whoever the scope knows to hold the instance now: the provider, or its tenant.
SELECT
    i.instance_id, i.name, i.node_id, n.name AS node_name, h.tenant_id, t.name AS tenant_name, i.tenant_label,
    i.state, i.first_seen_at, i.last_seen_at, i.gone_at,
    CASE WHEN $3 OR h.tenant_id IS NOT NULL THEN i.last_vcpus END AS vcpus,
    CASE WHEN $3 OR h.tenant_id IS NOT NULL THEN i.last_memory_kib END AS memory_kib
FROM instance i
LEFT JOIN node n ON n.node_id = i.node_id
LEFT JOIN instance_tenant h ON h.instance_id = i.instance_id AND h.until IS NULL
LEFT JOIN tenant t ON t.tenant_id = h.tenant_id
WHERE $2::text IS NULL OR i.instance_id = $1 OR i.name = $2
ORDER BY i.name, i.instance_id
