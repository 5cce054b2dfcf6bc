UPDATE mail_outbox
SET refused_at = $3, recipient = $4, last_error = $5, attempts = attempts + 1, leased_until = NULL
WHERE mail_id = $1 AND leased_until = $2 AND sent_at IS NULL
