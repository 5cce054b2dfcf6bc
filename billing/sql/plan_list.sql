-- The plans in force, by name.
SELECT DISTINCT ON (plan_name) plan_name, revision, currency, applied_at
FROM price_plan
ORDER BY plan_name, revision DESC
