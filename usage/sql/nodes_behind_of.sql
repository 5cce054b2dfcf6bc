-- Nodes whose readings up to $1 are still to come (as in nodes_behind.sql; $5 is this control plane's own, which counts however
-- long it is silent), and which of the tenant $3's instances and volumes they may be about, of a period that begins at $4. A node
-- delivers its oldest readings first, so what lies on it is about what it had when it reported last ($6 seconds before
-- that, to be sure), or what it got since: that may be any instance of which its own node has said nothing for $7 seconds.
WITH behind AS MATERIALIZED (
    SELECT node_id, name, last_observed_at, last_observed_at - $6::bigint * INTERVAL '1 second' AS had_since
    FROM node
    WHERE state <> 'removed'
        AND (last_observed_at IS NULL OR last_observed_at < $1)
        AND CASE
            WHEN joined_at IS NULL THEN $2 <= last_observed_at OR node_id = $5
            ELSE last_observed_at IS NOT NULL OR joined_at < $1
        END
), held AS (
    SELECT i.instance_id, i.name, i.node_id, i.former_node_id, i.moved_at, i.gone_at, h.until,
           i.gone_at IS NULL AND i.last_seen_at < $1 AND i.last_seen_at < n.last_observed_at - $7::bigint * INTERVAL '1 second'
               AND n.state <> 'removed' AS is_lost
    FROM instance_tenant h
    JOIN instance i ON i.instance_id = h.instance_id
    JOIN node n ON n.node_id = i.node_id
    WHERE h.tenant_id = $3 AND h.since < $1 AND (h.until IS NULL OR $4 < h.until)
        AND EXISTS (SELECT FROM behind)
), awaited AS (
    SELECT b.node_id, h.name
    FROM behind b
    JOIN held h ON h.until IS NULL OR b.had_since IS NULL OR b.had_since < h.until
    WHERE (h.node_id = b.node_id AND h.gone_at IS NULL)
        OR h.is_lost
        OR (h.former_node_id = b.node_id AND b.had_since <= h.moved_at)
        -- It moved on twice or more since: the row of the instance knows of the last time only.
        OR (h.node_id <> b.node_id AND EXISTS (
            SELECT FROM visible_instance_reading r
            WHERE r.instance_id = h.instance_id AND r.node_id = b.node_id
                AND b.had_since <= r.observed_at AND r.observed_at <= b.last_observed_at
                AND r.state IN ('running', 'paused')))
    UNION ALL
    SELECT b.node_id, v.name
    FROM behind b
    JOIN volume v ON v.node_id = b.node_id AND v.gone_at IS NULL
    JOIN volume_tenant h ON h.volume_id = v.volume_id
    WHERE h.tenant_id = $3 AND h.since < $1 AND (h.until IS NULL OR GREATEST($4, b.had_since) < h.until)
)
SELECT b.name, b.last_observed_at AS reported_until, array_agg(DISTINCT a.name ORDER BY a.name) AS about
FROM behind b
JOIN awaited a ON a.node_id = b.node_id
GROUP BY b.node_id, b.name, b.last_observed_at
ORDER BY b.last_observed_at NULLS FIRST, b.name
