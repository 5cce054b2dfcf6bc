INSERT INTO node (node_id, name)
VALUES ($1, $2)
ON CONFLICT (node_id) DO NOTHING
