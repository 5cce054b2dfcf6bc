-- The revision of a plan that has exactly this text.
SELECT revision
FROM price_plan
WHERE plan_name = $1 AND content = $2
ORDER BY revision DESC
LIMIT 1
