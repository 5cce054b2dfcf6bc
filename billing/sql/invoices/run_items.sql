-- In the order of the tenants' ids, from behind $2 on.
SELECT i.tenant_id, t.name AS tenant, i.state, i.detail, i.attempts, i.changed_at, i.invoice_id, v.number, v.status,
       v.currency, v.total
FROM billing_run_item i
JOIN tenant t ON t.tenant_id = i.tenant_id
LEFT JOIN invoice v ON v.invoice_id = i.invoice_id
WHERE i.run_id = $1
  AND ($2::uuid IS NULL OR i.tenant_id > $2)
  AND ($3::text IS NULL OR i.state = $3)
ORDER BY i.tenant_id
LIMIT $4
