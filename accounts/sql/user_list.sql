SELECT u.user_id, u.name, u.display_name, u.role, u.tenant_id, t.name AS tenant_name, u.created_at, u.disabled_at
FROM user_account u
JOIN tenant t ON t.tenant_id = u.tenant_id
ORDER BY u.name
LIMIT $1
