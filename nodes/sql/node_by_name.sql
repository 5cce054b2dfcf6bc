-- Another node that has a name now.
SELECT node_id
FROM node
WHERE name = $1 AND node_id <> $2 AND state <> 'removed'
LIMIT 1
