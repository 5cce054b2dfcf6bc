UPDATE user_account
SET disabled_at = $2
WHERE user_id = $1 AND disabled_at IS NULL
