-- By name or id; a removed one by its id only.
SELECT node_id, name
FROM node
WHERE node_id::text = $1 OR (name = $1 AND state <> 'removed')
ORDER BY node_id
FOR UPDATE
