SELECT o.mail_id, o.kind, o.subject_key, o.tenant_id, t.name AS tenant_name, o.created_at, o.attempts,
    o.next_attempt_at, o.last_error, COALESCE(o.recipient, o.about ->> 'recipient') AS recipient, o.sent_at, o.refused_at
FROM mail_outbox AS o
JOIN tenant AS t ON t.tenant_id = o.tenant_id
ORDER BY o.created_at DESC, o.mail_id DESC
LIMIT $1
