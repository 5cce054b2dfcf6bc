-- $1 nodes, last heard of at $2.
INSERT INTO node (node_id, name, last_observed_at, last_seq)
SELECT md5('bench node ' || n)::uuid, 'bench-kvm-' || lpad(n::text, 3, '0'), $2, 1
FROM generate_series(1, $1::bigint) n
