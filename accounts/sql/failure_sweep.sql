DELETE FROM login_failure
WHERE last_failed_at <= $1
