INSERT INTO dunning_letter (invoice_id, tenant_id, level, letter_id, open, fee, ordered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
