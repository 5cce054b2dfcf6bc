-- Their instances and volumes are locked by the caller, so the heads hold still.
SELECT resource, kind, device, first_observed_at, last_observed_at, last_epoch, register_1, register_2,
       register_3, register_4
FROM reading_head
WHERE resource = ANY ($1)
