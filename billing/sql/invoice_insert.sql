-- Every invoice begins as a draft.
INSERT INTO invoice (invoice_id, tenant_id, status, kind, period_start, period_end, plan_name, plan_revision,
                     terms_revision, currency, subtotal, tax_rate, tax_amount, total, document, cutoff_at, rated_at,
                     corrects_id)
VALUES ($1, $2, 'draft', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
