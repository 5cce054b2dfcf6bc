-- Requests that come at once need one touch between them.
UPDATE user_session
SET last_used_at = $2
WHERE session_hash = $1 AND last_used_at < $3
