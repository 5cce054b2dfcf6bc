UPDATE webhook_endpoint
SET failing_since = COALESCE(failing_since, $2), rests_until = $3
WHERE endpoint_id = $1
