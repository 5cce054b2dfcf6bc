-- By its identity or by its number.
SELECT i.invoice_id, i.tenant_id, t.name AS tenant, i.number, i.status, i.kind, i.period_start, i.period_end, i.currency,
       i.total, i.cutoff_at, i.rated_at, i.terms_revision, i.plan_name, i.plan_revision, i.document,
       replacing.number AS replaced_by, i.replaced_by_id IS NOT NULL AS is_replaced
FROM invoice i
JOIN tenant t ON t.tenant_id = i.tenant_id
LEFT JOIN invoice replacing ON replacing.invoice_id = i.replaced_by_id
WHERE i.invoice_id = $1 OR i.number = $2
FOR NO KEY UPDATE OF i
