INSERT INTO instance (instance_id, node_id, name, first_seen_at, last_seen_at, state)
VALUES ($1, $2, $3, $4, $4, 'stopped')
ON CONFLICT (instance_id) DO NOTHING
