-- One open alert for each kind and subject: whoever raises it again counts it up.
INSERT INTO alert (alert_id, kind, subject, title, detail, node_id, instance_id, raised_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
ON CONFLICT (kind, subject) WHERE ended_at IS NULL DO UPDATE
SET times = alert.times + 1,
    seen_at = greatest(alert.seen_at, excluded.seen_at),
    title = excluded.title,
    detail = excluded.detail,
    node_id = excluded.node_id,
    instance_id = excluded.instance_id
RETURNING alert_id, times, raised_at, mailed_at
