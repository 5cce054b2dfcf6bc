-- A device was read at least once.
SELECT CASE
       WHEN $1 = 'volume' THEN EXISTS (SELECT FROM volume v WHERE v.volume_id = $2)
       WHEN $1 = 'instance' THEN EXISTS (SELECT FROM instance i WHERE i.instance_id = $2)
       ELSE EXISTS (SELECT FROM reading_head h WHERE h.resource = $2 AND h.kind = $1 AND h.device = $3)
       END AS is_known
