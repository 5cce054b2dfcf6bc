SELECT v.volume_id, v.pool, v.name, v.instance_id, t.tenant_id, v.first_seen_at, v.gone_at
FROM volume v
LEFT JOIN volume_tenant t ON t.volume_id = v.volume_id AND t.until IS NULL
ORDER BY v.pool, v.name, v.volume_id
