INSERT INTO api_token (token_id, user_id, name, prefix, token_hash, may_write, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
