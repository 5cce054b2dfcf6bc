-- Tokens that were never used are of no interest any more.
DELETE FROM join_token
WHERE used_at IS NULL AND expires_at < $1
