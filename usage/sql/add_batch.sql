-- A second transaction with the same batch waits here for the first and then finds it done.
INSERT INTO batch_ledger (node_id, seq, collected_at, received_at, rows)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (node_id, seq) DO NOTHING
