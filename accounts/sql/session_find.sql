SELECT u.user_id, u.name, u.display_name, u.role, u.tenant_id, t.name AS tenant_name, u.created_at, u.disabled_at,
       s.last_used_at < $4 AS is_to_touch
FROM user_session s
JOIN user_account u ON u.user_id = s.user_id
JOIN tenant t ON t.tenant_id = u.tenant_id
WHERE s.session_hash = $1 AND $2 < s.expires_at AND $3 < s.last_used_at AND u.disabled_at IS NULL
