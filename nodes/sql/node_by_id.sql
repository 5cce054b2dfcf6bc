SELECT node_id, name, state, joined_at, last_heard_at, last_observed_at
FROM node
WHERE node_id = $1
FOR UPDATE
