-- The mail stands in the outbox together with the alert, or neither does.
WITH marked AS (
    UPDATE alert SET mailed_at = $5 WHERE alert_id = $1
)
INSERT INTO mail_outbox (mail_id, kind, subject_key, tenant_id, about, created_at, next_attempt_at)
VALUES ($2, 'alert', $3, $6, $4, $5, $5)
