-- The terms in force of all tenants that are billed by a plan.
SELECT DISTINCT ON (t.tenant_id) n.name, t.content
FROM tenant_terms t
JOIN tenant n ON n.tenant_id = t.tenant_id
WHERE n.plan_name = $1
ORDER BY t.tenant_id, t.revision DESC
