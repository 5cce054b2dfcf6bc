SELECT number
FROM invoice
WHERE invoice_id = $1 AND number IS NOT NULL
