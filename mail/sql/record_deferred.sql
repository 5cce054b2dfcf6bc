UPDATE mail_outbox
SET next_attempt_at = $3, attempts = attempts + $4, last_error = $5, leased_until = NULL
WHERE mail_id = $1 AND leased_until = $2 AND sent_at IS NULL
