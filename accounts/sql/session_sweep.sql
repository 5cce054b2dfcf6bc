DELETE FROM user_session
WHERE expires_at <= $1 OR last_used_at <= $2
