DELETE FROM invoice_line
WHERE invoice_id = $1
