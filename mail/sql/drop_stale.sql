-- Mails about alerts that nobody took in time ($1: now) will never be sent: the alert is over, or the mail is older than $2.
-- They have no recipient, unlike those that a server refused.
UPDATE mail_outbox AS o
SET refused_at = $1, leased_until = NULL, last_error = CASE
        WHEN o.created_at < $2 THEN 'not sent: it is too old; weir alert list shows what is wrong now'
        ELSE 'not sent: the alert was over before it could be'
    END
WHERE o.kind = 'alert' AND o.sent_at IS NULL AND o.refused_at IS NULL
    AND (o.leased_until IS NULL OR o.leased_until <= $1)
    AND (
        o.created_at < $2
        OR EXISTS (
            SELECT FROM alert AS a
            WHERE a.ended_at IS NOT NULL AND o.subject_key = 'alert/' || a.kind || '/' || a.alert_id
        )
    )
