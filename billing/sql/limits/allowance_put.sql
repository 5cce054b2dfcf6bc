INSERT INTO allowance AS a (tenant_id, name, owner, meter, quantity, amount, currency, thresholds, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, name) DO UPDATE
SET owner = EXCLUDED.owner, meter = EXCLUDED.meter, quantity = EXCLUDED.quantity, amount = EXCLUDED.amount,
    currency = EXCLUDED.currency, thresholds = EXCLUDED.thresholds, revision = a.revision + 1,
    changed_at = EXCLUDED.changed_at, removed_at = NULL
RETURNING revision
