-- Readings that were set aside after $1, by node, with the three most frequent reasons.
SELECT q.node_id, sum(q.readings)::bigint AS readings,
    array_to_string((array_agg(q.reason || ' (' || q.readings || ')' ORDER BY q.readings DESC, q.reason))[1:3], '; ')
        AS reasons
FROM (
    SELECT node_id, reason, count(*) AS readings
    FROM quarantine
    WHERE $1 < received_at
    GROUP BY node_id, reason
) AS q
JOIN node AS n ON n.node_id = q.node_id
GROUP BY q.node_id
ORDER BY q.node_id
