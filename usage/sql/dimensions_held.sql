-- What was said, before $3, of what tenant $1 held at any time in [$2, $3): in the order in which it holds.
SELECT d.kind, d.resource, d.device, d.name, d.value, d.valid_from, d.is_rule
FROM (
    SELECT instance_id AS resource
    FROM instance_tenant
    WHERE tenant_id = $1 AND since < $3 AND (until IS NULL OR $2 < until)
    UNION
    SELECT volume_id
    FROM volume_tenant
    WHERE tenant_id = $1 AND since < $3 AND (until IS NULL OR $2 < until)
) h
JOIN resource_dimension d ON d.resource = h.resource
WHERE d.valid_from < $3
ORDER BY d.valid_from, d.change_id
