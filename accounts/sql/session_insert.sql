-- Only while the user is as it was when the password was checked: whoever changes the password or disables the user
-- either finds this session to end or has been here first. FOR SHARE makes one wait for the other.
WITH still AS (
    SELECT user_id
    FROM user_account
    WHERE user_id = $2 AND password_hash = $3 AND disabled_at IS NULL
    FOR SHARE
)
INSERT INTO user_session (session_hash, user_id, created_at, last_used_at, expires_at)
SELECT $1, still.user_id, $4, $4, $5
FROM still
