-- Instances that were never heard of, under their id until their name is known. put_instances completes them.
INSERT INTO instance (instance_id, node_id, name, first_seen_at, last_seen_at, state)
SELECT x.instance_id, $2, x.instance_id::text, x.first_seen_at, x.first_seen_at, 'stopped'
FROM unnest($1::uuid[], $3::timestamptz[]) AS x (instance_id, first_seen_at)
ORDER BY x.instance_id
ON CONFLICT (instance_id) DO NOTHING
