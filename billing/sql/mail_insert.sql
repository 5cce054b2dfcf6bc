-- Without ON CONFLICT: what was announced before must not be announced again, and nothing may go unannounced.
INSERT INTO mail_outbox (mail_id, kind, subject_key, tenant_id, about, created_at, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
