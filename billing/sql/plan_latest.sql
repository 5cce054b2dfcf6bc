-- The plan in force under a name.
SELECT plan_name, revision, currency, content, applied_at
FROM price_plan
WHERE plan_name = $1
ORDER BY revision DESC
LIMIT 1
