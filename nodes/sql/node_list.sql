-- Nodes as their operator sees them. $1: removed ones too. $2: only this one, by name or id.
SELECT n.node_id, n.name, n.state, n.joined_at, n.removed_at, n.release, n.last_heard_at, n.last_observed_at, n.last_seq,
       n.covered_seq, n.run_id, n.clock_error_us, n.clock_error_at, n.backlog_batches,
       (SELECT max(c.expires_at) FROM node_certificate c WHERE c.node_id = n.node_id AND c.revoked_at IS NULL)
           AS certificate_expires_at,
       COALESCE(i.running, 0) AS running, COALESCE(i.known, 0) AS known
FROM node n
LEFT JOIN (
    SELECT node_id, count(*) FILTER (WHERE state IN ('running', 'paused')) AS running, count(*) AS known
    FROM instance
    WHERE gone_at IS NULL
    GROUP BY node_id
) i ON i.node_id = n.node_id
WHERE ($2::text IS NULL AND ($1 OR n.state <> 'removed'))
   OR n.node_id::text = $2 OR (n.name = $2 AND n.state <> 'removed')
ORDER BY n.name, n.node_id
