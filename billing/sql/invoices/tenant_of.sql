SELECT tenant_id
FROM invoice
WHERE invoice_id = $1 OR number = $2
