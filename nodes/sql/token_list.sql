SELECT t.token_id, t.node_name, t.created_at, t.expires_at, t.used_at, t.revoked_at, n.name AS used_by
FROM join_token t
LEFT JOIN node n ON n.node_id = t.node_id
ORDER BY t.created_at DESC, t.token_id
LIMIT $1
