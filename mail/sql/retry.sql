UPDATE mail_outbox
SET refused_at = NULL, next_attempt_at = $2
WHERE mail_id = $1 AND sent_at IS NULL
