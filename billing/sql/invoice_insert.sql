INSERT INTO invoice (invoice_id, tenant_id, status, period_start, period_end, plan_name, plan_revision, currency,
                     subtotal, tax_rate, tax_amount, total)
VALUES ($1, $2, 'draft', $3, $4, $5, $6, $7, $8, $9, $10, $11)
