-- One delivery that is due ($1: now) and that nobody has becomes the caller's until $2. An endpoint gets one at a time, and
-- none while it rests: a receiver that is away holds nobody up.
UPDATE webhook_delivery d
SET leased_until = $2, attempts = d.attempts + 1
FROM webhook_endpoint en, webhook_event ev
WHERE d.delivery_id = (
        SELECT due.delivery_id
        FROM webhook_delivery due
        JOIN webhook_endpoint e ON e.endpoint_id = due.endpoint_id
        WHERE due.delivered_at IS NULL AND due.failed_at IS NULL AND due.next_attempt_at <= $1
            AND (due.leased_until IS NULL OR due.leased_until <= $1)
            AND e.removed_at IS NULL AND e.disabled_at IS NULL AND (e.rests_until IS NULL OR e.rests_until <= $1)
            AND NOT EXISTS (
                SELECT FROM webhook_delivery other
                WHERE other.endpoint_id = due.endpoint_id AND other.delivered_at IS NULL AND other.failed_at IS NULL
                    AND $1 < other.leased_until
            )
        ORDER BY due.next_attempt_at, due.delivery_id
        LIMIT 1
        FOR UPDATE OF due SKIP LOCKED
    )
    AND en.endpoint_id = d.endpoint_id AND ev.event_id = d.event_id
RETURNING d.delivery_id, d.event_id, d.endpoint_id, d.created_at, d.attempts, d.leased_until, en.url, en.secret,
    en.former_secret, en.former_until, en.failing_since, ev.payload
