-- Nodes with what is promised on them now: of instances whose process exists, and of volumes.
SELECT n.node_id, n.name, n.last_observed_at, COALESCE(i.vcpus, 0)::bigint AS vcpus,
       COALESCE(i.memory_kib, 0)::bigint AS memory_kib, COALESCE(v.storage_kib, 0)::bigint AS storage_kib
FROM node n
LEFT JOIN (
    SELECT node_id, sum(last_vcpus) AS vcpus, sum(last_memory_kib) AS memory_kib
    FROM instance
    WHERE gone_at IS NULL AND state IN ('running', 'paused')
    GROUP BY node_id
) i ON i.node_id = n.node_id
LEFT JOIN (
    SELECT node_id, sum(capacity_bytes) / 1024 AS storage_kib
    FROM volume
    WHERE gone_at IS NULL AND node_id IS NOT NULL
    GROUP BY node_id
) v ON v.node_id = n.node_id
ORDER BY n.name, n.node_id
