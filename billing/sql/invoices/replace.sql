-- A draft is rated again.
UPDATE invoice
SET plan_name = $2, plan_revision = $3, terms_revision = $4, currency = $5, subtotal = $6, tax_rate = $7,
    tax_amount = $8, total = $9, document = $10, cutoff_at = $11, rated_at = $12
WHERE invoice_id = $1
