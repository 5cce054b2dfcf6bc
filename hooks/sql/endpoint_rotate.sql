UPDATE webhook_endpoint
SET former_secret = secret, former_until = $4, secret = $3, revision = revision + 1, changed_at = $5
WHERE endpoint_id = $1 AND revision = $2 AND removed_at IS NULL
