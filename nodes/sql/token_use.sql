UPDATE join_token
SET used_at = $2, node_id = $3
WHERE token_id = $1
