-- The youngest first, before ($2, $3).
SELECT d.delivery_id, d.event_id, ev.type, d.endpoint_id, d.created_at, d.attempts, d.next_attempt_at, d.delivered_at,
       d.failed_at, d.last_status, d.last_answer, d.last_error
FROM webhook_delivery d
JOIN webhook_event ev ON ev.event_id = d.event_id
WHERE d.endpoint_id = $1 AND ($2::timestamptz IS NULL OR (d.created_at, d.delivery_id) < ($2, $3::uuid))
ORDER BY d.created_at DESC, d.delivery_id DESC
LIMIT $4
