-- Of each node all batches before the first one that was received at $1 or later. What came again after a restore was
-- received then.
UPDATE node n SET covered_seq = x.seq
FROM (
    SELECT m.node_id, COALESCE(min(b.seq) FILTER (WHERE $1 <= b.received_at) - 1, max(b.seq)) AS seq
    FROM node m
    JOIN batch_ledger b ON b.node_id = m.node_id AND m.covered_seq < b.seq
    GROUP BY m.node_id
) x
WHERE n.node_id = x.node_id AND n.covered_seq < x.seq
