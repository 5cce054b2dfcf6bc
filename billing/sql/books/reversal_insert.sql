INSERT INTO payment_reversal (payment_id, tenant_id, reason, reversed_at, reversed_by)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
