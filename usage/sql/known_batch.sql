SELECT collected_at, rows FROM batch_ledger WHERE node_id = $1 AND seq = $2
