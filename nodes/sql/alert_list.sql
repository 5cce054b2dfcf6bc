-- The youngest first; with $1 those that are over, too.
SELECT a.alert_id, a.kind, a.subject, a.title, a.detail, a.node_id, a.instance_id, a.raised_at, a.seen_at, a.times,
    a.ended_at, a.mailed_at, n.name AS node_name, i.name AS instance_name
FROM alert AS a
LEFT JOIN node AS n ON n.node_id = a.node_id
LEFT JOIN instance AS i ON i.instance_id = a.instance_id
WHERE $1 OR a.ended_at IS NULL
ORDER BY a.raised_at DESC, a.alert_id DESC
LIMIT $2
