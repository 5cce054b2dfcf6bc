SELECT v.volume_id, v.first_seen_at, v.last_observed_at, v.node_id, v.capacity_bytes, v.gone_at, v.moved_at,
       COALESCE(n.state = 'removed', false) AS is_orphan
FROM volume v
LEFT JOIN node n ON n.node_id = v.node_id
WHERE v.volume_id = ANY ($1)
ORDER BY v.volume_id
FOR UPDATE OF v
