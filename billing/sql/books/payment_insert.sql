-- The same payment again, or the same reference, changes nothing.
INSERT INTO payment (payment_id, tenant_id, kind, method, reference, amount, currency, paid_at, recorded_at, recorded_by,
                     invoice_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING
