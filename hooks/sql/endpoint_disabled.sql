-- Those that no person disabled.
SELECT e.endpoint_id, e.tenant_id, t.name AS tenant, e.url, e.description, e.types, e.secret, e.former_until, e.revision,
       e.created_at, e.changed_at, e.disabled_at, e.disabled_because, e.failing_since
FROM webhook_endpoint e
JOIN tenant t ON t.tenant_id = e.tenant_id
WHERE e.removed_at IS NULL AND e.disabled_at IS NOT NULL AND e.disabled_because <> $1
ORDER BY e.disabled_at, e.endpoint_id
LIMIT $2
