-- The events since $2 that the endpoint wants, once more, the oldest first. What is on its way to it already is left out.
INSERT INTO webhook_delivery (delivery_id, event_id, endpoint_id, tenant_id, created_at, next_attempt_at)
SELECT gen_random_uuid(), ev.event_id, en.endpoint_id, en.tenant_id, $3, $3
FROM webhook_event ev
JOIN webhook_endpoint en ON en.tenant_id IN (ev.tenant_id, '00000000-0000-0000-0000-000000000000')
WHERE en.endpoint_id = $1 AND en.removed_at IS NULL AND $2 <= ev.created_at AND ev.type <> 'webhook.test'
    AND (en.types IS NULL OR ev.type = ANY (en.types))
    AND NOT EXISTS (
        SELECT FROM webhook_delivery d
        WHERE d.event_id = ev.event_id AND d.endpoint_id = en.endpoint_id AND d.delivered_at IS NULL AND d.failed_at IS NULL
    )
ORDER BY ev.created_at, ev.event_id
LIMIT $4
