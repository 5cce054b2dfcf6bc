INSERT INTO budget AS b (tenant_id, amount, currency, changed_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id) DO UPDATE
SET amount = EXCLUDED.amount, currency = EXCLUDED.currency, revision = b.revision + 1,
    changed_at = EXCLUDED.changed_at
RETURNING revision
