INSERT INTO quarantine (node_id, seq, received_at, kind, reason, payload, clock_error_us)
SELECT $1, $2, $3, x.kind, x.reason, x.payload, $7
FROM unnest($4::text[], $5::text[], $6::jsonb[]) AS x (kind, reason, payload)
