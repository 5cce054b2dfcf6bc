DELETE FROM wallet_warning
WHERE tenant_id = $1 AND kind = $2
