-- What an invoice was rated by.
SELECT i.terms_revision, p.plan_name, p.content
FROM invoice i
JOIN price_plan p ON p.plan_name = i.plan_name AND p.revision = i.plan_revision
WHERE i.invoice_id = $1
