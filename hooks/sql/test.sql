-- An event for one endpoint alone, whatever types it wants.
WITH event AS (
    INSERT INTO webhook_event (event_id, type, tenant_id, payload, created_at)
    SELECT $2, 'webhook.test', en.tenant_id, $3, $4
    FROM webhook_endpoint en
    WHERE en.endpoint_id = $1 AND en.removed_at IS NULL
    RETURNING event_id, tenant_id, created_at
)
INSERT INTO webhook_delivery (delivery_id, event_id, endpoint_id, tenant_id, created_at, next_attempt_at)
SELECT gen_random_uuid(), ev.event_id, $1, ev.tenant_id, ev.created_at, ev.created_at
FROM event ev
