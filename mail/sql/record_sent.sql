-- Whoever holds the lease by now: the server has taken the mail.
UPDATE mail_outbox
SET sent_at = $2, recipient = $3, attempts = attempts + 1, last_error = NULL, refused_at = NULL, leased_until = NULL
WHERE mail_id = $1 AND sent_at IS NULL
