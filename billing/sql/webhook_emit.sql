-- The event, and a delivery for each endpoint that wants it: the tenant's own and the provider's.
WITH event AS (
    INSERT INTO webhook_event (event_id, type, tenant_id, payload, created_at)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING event_id, type, tenant_id, created_at
)
INSERT INTO webhook_delivery (delivery_id, event_id, endpoint_id, tenant_id, created_at, next_attempt_at)
SELECT gen_random_uuid(), ev.event_id, en.endpoint_id, en.tenant_id, ev.created_at, ev.created_at
FROM event ev
JOIN webhook_endpoint en ON en.tenant_id IN (ev.tenant_id, '00000000-0000-0000-0000-000000000000')
WHERE en.removed_at IS NULL AND en.disabled_at IS NULL AND (en.types IS NULL OR ev.type = ANY (en.types))
