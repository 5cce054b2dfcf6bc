UPDATE webhook_endpoint
SET failing_since = NULL, rests_until = NULL
WHERE endpoint_id = $1 AND (failing_since IS NOT NULL OR rests_until IS NOT NULL)
