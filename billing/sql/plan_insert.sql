INSERT INTO price_plan (plan_name, revision, currency, content, applied_at)
VALUES ($1, $2, $3, $4, $5)
