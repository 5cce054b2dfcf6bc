SELECT token_id, name, prefix, may_write, created_at, expires_at, last_used_at, revoked_at
FROM api_token
WHERE user_id = $1
ORDER BY created_at DESC, token_id DESC
LIMIT $2
