SELECT kind, subject FROM alert WHERE node_id = $1 AND ended_at IS NULL
