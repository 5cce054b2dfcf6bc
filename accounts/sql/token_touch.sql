UPDATE api_token
SET last_used_at = $2
WHERE token_hash = $1 AND (last_used_at IS NULL OR last_used_at < $3)
