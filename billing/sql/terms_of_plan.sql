-- The terms in force of all tenants that are billed by a plan: today, in the month that ended last, or later.
SELECT DISTINCT ON (t.tenant_id) n.name, t.content
FROM tenant_terms t
JOIN tenant n ON n.tenant_id = t.tenant_id
CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE n.time_zone)::date AS today) AS d
WHERE $1 IN (weir_plan_on(n.tenant_id, d.today),
             weir_plan_on(n.tenant_id, (date_trunc('month', d.today) - interval '1 month')::date))
   OR EXISTS (SELECT FROM plan_assignment a WHERE a.tenant_id = n.tenant_id AND a.plan_name = $1 AND d.today < a.valid_from)
ORDER BY t.tenant_id, t.revision DESC
