-- What came of an attempt, by whoever holds the lease ($2).
UPDATE webhook_delivery
SET leased_until = NULL, last_status = $3, last_answer = $4, last_error = $5, next_attempt_at = COALESCE($6, next_attempt_at),
    delivered_at = $7, failed_at = $8
WHERE delivery_id = $1 AND leased_until = $2
