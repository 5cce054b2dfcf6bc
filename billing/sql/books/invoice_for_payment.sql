SELECT i.invoice_id, i.status, i.currency, i.kind
FROM invoice i
WHERE i.number = $1 AND i.tenant_id = $2
