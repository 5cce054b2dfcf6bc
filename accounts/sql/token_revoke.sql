UPDATE api_token
SET revoked_at = $3
WHERE token_id = $1 AND user_id = $2 AND revoked_at IS NULL
