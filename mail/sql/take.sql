-- One mail that is due and that nobody is delivering becomes the caller's until $3.
UPDATE mail_outbox
SET leased_until = $3
WHERE mail_id = (
    SELECT mail_id
    FROM mail_outbox
    WHERE sent_at IS NULL AND refused_at IS NULL
        AND kind IN ('invoice', 'budget', 'allowance', 'alert', 'dunning', 'wallet', 'test')  -- what a newer version added waits for that version
        AND next_attempt_at <= $1
        AND (leased_until IS NULL OR leased_until <= $2)
    ORDER BY next_attempt_at, mail_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING mail_id, kind, tenant_id, about, created_at, attempts, leased_until
