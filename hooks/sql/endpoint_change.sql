-- What is enabled again begins anew.
UPDATE webhook_endpoint
SET url = $3, description = $4, types = $5,
    disabled_at = CASE WHEN $6 THEN NULL ELSE COALESCE(disabled_at, $7) END,
    disabled_because = CASE WHEN $6 THEN NULL ELSE COALESCE(disabled_because, $8) END,
    failing_since = CASE WHEN $6 AND disabled_at IS NOT NULL THEN NULL ELSE failing_since END,
    rests_until = NULL, revision = revision + 1, changed_at = $7
WHERE endpoint_id = $1 AND revision = $2 AND removed_at IS NULL
