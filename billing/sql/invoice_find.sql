SELECT i.invoice_id, i.tenant_id, i.status, i.kind, i.settled_at, i.due_at, i.sent_at, i.document,
       corrected.number AS corrects, replacing.number AS replaced_by
FROM invoice i
LEFT JOIN invoice corrected ON corrected.invoice_id = i.corrects_id
LEFT JOIN invoice replacing ON replacing.invoice_id = i.replaced_by_id
WHERE i.number = $1
