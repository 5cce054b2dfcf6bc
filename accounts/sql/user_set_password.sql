UPDATE user_account
SET password_hash = $2, password_changed_at = $3
WHERE user_id = $1
RETURNING name
