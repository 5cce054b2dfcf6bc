-- What an invoice was rated by.
SELECT i.terms_revision, p.plan_name, p.content, t.content AS terms
FROM invoice i
JOIN price_plan p ON p.plan_name = i.plan_name AND p.revision = i.plan_revision
LEFT JOIN tenant_terms t ON t.tenant_id = i.tenant_id AND t.revision = i.terms_revision
WHERE i.invoice_id = $1
