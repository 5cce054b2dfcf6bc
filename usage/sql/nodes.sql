SELECT node_id, name, last_observed_at, last_seq
FROM node
ORDER BY name, node_id
