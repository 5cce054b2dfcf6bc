DELETE FROM invoice
WHERE invoice_id = $1
