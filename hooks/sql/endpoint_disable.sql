UPDATE webhook_endpoint
SET disabled_at = $2, disabled_because = $3, revision = revision + 1, changed_at = $2
WHERE endpoint_id = $1 AND disabled_at IS NULL AND removed_at IS NULL
