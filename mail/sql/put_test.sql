INSERT INTO mail_outbox (mail_id, kind, subject_key, tenant_id, about, created_at, next_attempt_at)
VALUES ($1, 'test', $2, $3, $4, $5, $5)
