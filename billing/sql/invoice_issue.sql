UPDATE invoice
SET status = 'issued', series = $2, series_number = $3, number = $4, issued_at = $5, document = $6
WHERE invoice_id = $1
