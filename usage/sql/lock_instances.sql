-- In the order of their ids, so that two transactions never wait for each other.
SELECT i.instance_id, i.first_seen_at, i.last_seen_at, i.node_id, i.state, i.last_vcpus, i.last_memory_kib,
       i.former_node_id, i.moved_at, n.state = 'removed' AS is_orphan
FROM instance i
JOIN node n ON n.node_id = i.node_id
WHERE i.instance_id = ANY ($1)
ORDER BY i.instance_id
FOR UPDATE OF i
