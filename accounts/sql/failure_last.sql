SELECT last_failed_at
FROM login_failure
WHERE name = $1 AND address = $2
