-- The texts that were in force under a plan's name, up to a revision, the newest first.
SELECT revision, applied_at, CASE WHEN $4 THEN content END AS content
FROM price_plan
WHERE plan_name = $1 AND revision <= $2
ORDER BY revision DESC
LIMIT $3
