INSERT INTO join_token (token_id, hash, node_name, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5)
