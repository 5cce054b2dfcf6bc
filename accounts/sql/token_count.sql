SELECT count(*) AS live
FROM api_token
WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR $2 < expires_at)
