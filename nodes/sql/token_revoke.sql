UPDATE join_token
SET revoked_at = $2
WHERE token_id = $1 AND used_at IS NULL AND revoked_at IS NULL
