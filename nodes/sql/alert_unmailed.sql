-- Open alerts that no mail was written about yet.
SELECT alert_id, kind, subject, title, detail, node_id, instance_id, raised_at, times
FROM alert
WHERE ended_at IS NULL AND mailed_at IS NULL
ORDER BY raised_at, alert_id
LIMIT $1
FOR UPDATE SKIP LOCKED
