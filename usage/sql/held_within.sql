-- What tenant $1 held at any time in [$2, $3), unless it was gone by then.
SELECT x.kind, x.resource
FROM (
    SELECT 'instance' AS kind, instance_id AS resource
    FROM instance_tenant
    WHERE tenant_id = $1 AND since < $3 AND (until IS NULL OR $2 < until)
    UNION
    SELECT 'volume', volume_id
    FROM volume_tenant
    WHERE tenant_id = $1 AND since < $3 AND (until IS NULL OR $2 < until)
) x
JOIN reading_head h ON h.resource = x.resource AND h.kind = x.kind
WHERE NOT (h.is_gone AND h.last_observed_at < $2)
ORDER BY x.kind, x.resource
