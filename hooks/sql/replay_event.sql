-- One event once more, if it concerns the endpoint's owner.
INSERT INTO webhook_delivery (delivery_id, event_id, endpoint_id, tenant_id, created_at, next_attempt_at)
SELECT gen_random_uuid(), ev.event_id, en.endpoint_id, en.tenant_id, $3, $3
FROM webhook_event ev
JOIN webhook_endpoint en ON en.tenant_id IN (ev.tenant_id, '00000000-0000-0000-0000-000000000000')
WHERE ev.event_id = $2 AND en.endpoint_id = $1 AND en.removed_at IS NULL
