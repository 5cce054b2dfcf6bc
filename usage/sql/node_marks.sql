-- How far a node's batches are known, and how far a backup has them.
SELECT last_seq, covered_seq FROM node WHERE node_id = $1
