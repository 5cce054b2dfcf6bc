-- One change of a user's tokens at a time, and none while the user is being disabled.
SELECT user_id
FROM user_account
WHERE user_id = $1 AND disabled_at IS NULL
FOR NO KEY UPDATE
