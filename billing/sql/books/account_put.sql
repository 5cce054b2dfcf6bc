INSERT INTO billing_account AS a (tenant_id, country, tax_treatment, tax_reason, currency, payment_days, mode, starts_on,
                                  low_balance, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id) DO UPDATE
SET country = EXCLUDED.country, tax_treatment = EXCLUDED.tax_treatment, tax_reason = EXCLUDED.tax_reason,
    currency = EXCLUDED.currency, payment_days = EXCLUDED.payment_days, mode = EXCLUDED.mode,
    starts_on = EXCLUDED.starts_on, low_balance = EXCLUDED.low_balance, revision = a.revision + 1,
    changed_at = EXCLUDED.changed_at
RETURNING revision
