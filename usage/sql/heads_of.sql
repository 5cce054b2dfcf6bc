SELECT kind, device, first_observed_at, last_observed_at
FROM reading_head
WHERE resource = $1
