DELETE FROM login_failure
WHERE name = $1 AND address = $2
