-- One.
WHERE r.run_id = $1
