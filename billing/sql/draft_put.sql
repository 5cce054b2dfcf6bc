-- Whoever rated earlier but comes later changes nothing.
INSERT INTO draft AS d (tenant_id, period_start, period_end, computed_at, currency, subtotal, total, document)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, period_start) DO UPDATE
SET period_end = EXCLUDED.period_end, computed_at = EXCLUDED.computed_at, currency = EXCLUDED.currency,
    subtotal = EXCLUDED.subtotal, total = EXCLUDED.total, document = EXCLUDED.document
WHERE d.computed_at <= EXCLUDED.computed_at
