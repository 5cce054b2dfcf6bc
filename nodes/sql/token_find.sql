-- Locked: of all who come with the same token, one is served.
SELECT token_id, node_name, expires_at, used_at, revoked_at
FROM join_token
WHERE hash = $1
FOR UPDATE
