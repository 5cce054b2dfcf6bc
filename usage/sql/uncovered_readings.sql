-- How many of a node's ($1) readings nothing is stored of that says as much: a reading of the same life, at their instant or up to
-- $2 seconds later (one that was put in order is dated a little later). Instances, disks, NICs and volumes.
WITH found AS (
    SELECT EXISTS (SELECT FROM visible_instance_reading r
                   WHERE r.instance_id = x.id AND r.node_id = $1 AND r.epoch = x.epoch
                       AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second') AS is_known
    FROM unnest($3::uuid[], $4::bigint[], $5::timestamptz[]) AS x (id, epoch, at)
    UNION ALL
    SELECT EXISTS (SELECT FROM visible_disk_reading r
                   WHERE r.instance_id = x.id AND r.node_id = $1 AND r.target = x.device AND r.epoch = x.epoch
                       AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second')
    FROM unnest($6::uuid[], $7::text[], $8::bigint[], $9::timestamptz[]) AS x (id, device, epoch, at)
    UNION ALL
    SELECT EXISTS (SELECT FROM visible_nic_reading r
                   WHERE r.instance_id = x.id AND r.node_id = $1 AND r.mac = x.device AND r.epoch = x.epoch
                       AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second')
    FROM unnest($10::uuid[], $11::text[], $12::bigint[], $13::timestamptz[]) AS x (id, device, epoch, at)
    UNION ALL
    SELECT EXISTS (SELECT FROM visible_volume_reading r
                   WHERE r.volume_id = x.id AND r.node_id = $1 AND r.epoch = x.epoch
                       AND x.at <= r.observed_at AND r.observed_at < x.at + $2::bigint * INTERVAL '1 second')
    FROM unnest($14::uuid[], $15::bigint[], $16::timestamptz[]) AS x (id, epoch, at)
)
SELECT count(*) AS uncovered FROM found WHERE NOT is_known
