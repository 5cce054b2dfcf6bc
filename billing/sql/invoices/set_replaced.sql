UPDATE invoice
SET replaced_by_id = $2
WHERE invoice_id = $1 AND replaced_by_id IS NULL
