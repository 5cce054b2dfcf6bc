-- What is open, all of it: by it alerts are ended.
SELECT kind, subject, node_id FROM alert WHERE ended_at IS NULL
