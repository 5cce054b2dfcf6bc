-- The row stays: an event that is written at this moment refers to it. The secrets go.
UPDATE webhook_endpoint
SET removed_at = $3, secret = NULL, former_secret = NULL, former_until = NULL, revision = revision + 1, changed_at = $3
WHERE endpoint_id = $1 AND ($2::bigint IS NULL OR revision = $2) AND removed_at IS NULL
