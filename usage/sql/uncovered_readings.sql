-- How many of a node's ($1) readings are news: not stored (a reading of the same life, at their instant or up to $2 seconds later,
-- as one that was put in order is dated a little later), not kept in quarantine with a batch up to number $3, and not of an instance
-- or volume that another node had then, of which nothing is kept. Instances, disks, NICs and volumes.
WITH asked AS (
    SELECT 'instance' AS kind, x.id, '' AS device, x.epoch, x.at,
        EXISTS (SELECT FROM visible_instance_reading r
                WHERE r.instance_id = x.id AND r.node_id = $1 AND r.epoch = x.epoch
                    AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second') AS is_stored
    FROM unnest($4::uuid[], $5::bigint[], $6::timestamptz[]) AS x (id, epoch, at)
    UNION ALL
    SELECT 'disk', x.id, x.device, x.epoch, x.at,
        EXISTS (SELECT FROM visible_disk_reading r
                WHERE r.instance_id = x.id AND r.node_id = $1 AND r.target = x.device AND r.epoch = x.epoch
                    AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second')
    FROM unnest($7::uuid[], $8::text[], $9::bigint[], $10::timestamptz[]) AS x (id, device, epoch, at)
    UNION ALL
    SELECT 'nic', x.id, x.device, x.epoch, x.at,
        EXISTS (SELECT FROM visible_nic_reading r
                WHERE r.instance_id = x.id AND r.node_id = $1 AND r.mac = x.device AND r.epoch = x.epoch
                    AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second')
    FROM unnest($11::uuid[], $12::text[], $13::bigint[], $14::timestamptz[]) AS x (id, device, epoch, at)
    UNION ALL
    SELECT 'volume', x.id, '', x.epoch, x.at,
        EXISTS (SELECT FROM visible_volume_reading r
                WHERE r.volume_id = x.id AND r.node_id = $1 AND r.epoch = x.epoch
                    AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second')
    FROM unnest($15::uuid[], $16::bigint[], $17::timestamptz[]) AS x (id, epoch, at)
), missing AS MATERIALIZED (
    SELECT kind, id, device, epoch, at FROM asked WHERE NOT is_stored
), refused AS MATERIALIZED (
    SELECT q.kind, COALESCE(q.payload ->> 'instance_id', q.payload ->> 'volume_id')::uuid AS id,
        COALESCE(q.payload ->> 'target', q.payload ->> 'mac', '') AS device,
        (q.payload #>> '{epoch,id}')::bigint AS epoch, q.payload ->> 'observed_at' AS at
    FROM quarantine q
    WHERE q.node_id = $1 AND q.seq <= $3 AND q.kind <> 'node' AND EXISTS (SELECT FROM missing)
)
SELECT count(*) AS uncovered
FROM missing m
WHERE NOT EXISTS (SELECT FROM refused r
                  WHERE r.kind = m.kind AND r.id = m.id AND r.device = m.device AND r.epoch = m.epoch
                      AND m.at <= r.at::timestamptz
                      AND r.at::timestamptz < m.at + $2::bigint * INTERVAL '1 second')
    AND NOT EXISTS (SELECT FROM instance i
                    WHERE i.instance_id = m.id AND (i.node_id <> $1 OR m.at < i.moved_at))
    AND NOT EXISTS (SELECT FROM volume v
                    WHERE v.volume_id = m.id AND (v.node_id <> $1 OR m.at < v.moved_at))
