DELETE FROM user_session
WHERE session_hash = $1
