UPDATE user_account
SET disabled_at = NULL
WHERE user_id = $1 AND disabled_at IS NOT NULL
