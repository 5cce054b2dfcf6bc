UPDATE invoice
SET status = 'issued', series = $2, series_number = $3, number = $4, issued_at = $5, due_at = $6, document = $7
WHERE invoice_id = $1
