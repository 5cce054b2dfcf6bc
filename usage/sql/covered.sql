SELECT node_id, name, covered_seq, last_seq
FROM node
ORDER BY name, node_id
