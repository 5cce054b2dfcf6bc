SELECT u.user_id, u.name, u.display_name, u.role, u.tenant_id, t.name AS tenant_name, u.created_at, u.disabled_at,
       k.may_write, (k.last_used_at IS NULL OR k.last_used_at < $3) AS is_to_touch
FROM api_token k
JOIN user_account u ON u.user_id = k.user_id
JOIN tenant t ON t.tenant_id = u.tenant_id
WHERE k.token_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR $2 < k.expires_at)
  AND u.disabled_at IS NULL
