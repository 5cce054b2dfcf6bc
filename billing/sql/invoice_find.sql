SELECT i.invoice_id, i.tenant_id, i.status, i.settled_at, i.document
FROM invoice i
WHERE i.number = $1
