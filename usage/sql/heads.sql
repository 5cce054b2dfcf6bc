-- Their instances and volumes are locked by the caller, so the heads hold still.
SELECT resource, kind, device, last_observed_at
FROM reading_head
WHERE resource = ANY ($1)
