UPDATE wallet_warning
SET stopped_at = $2
WHERE tenant_id = $1 AND kind = 'empty' AND stopped_at IS NULL
