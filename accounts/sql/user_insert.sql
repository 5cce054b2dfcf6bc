INSERT INTO user_account (user_id, name, display_name, role, tenant_id, password_hash, created_at, password_changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
