INSERT INTO wallet_warning (tenant_id, kind, since)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
