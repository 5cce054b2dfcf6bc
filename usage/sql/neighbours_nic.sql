-- The readings next to what came late: the last one before it and the first one after it, if any; and where its life
-- goes on, which may be beyond a reading of another life.
SELECT x.n,
       (SELECT max(r.observed_at) FROM visible_nic_reading r
        WHERE r.instance_id = x.resource AND r.observed_at < x.first AND r.mac = x.device) AS before,
       (SELECT min(r.observed_at) FROM visible_nic_reading r
        WHERE r.instance_id = x.resource AND x.last < r.observed_at AND r.mac = x.device) AS after,
       (SELECT min(r.observed_at) FROM visible_nic_reading r
        WHERE r.instance_id = x.resource AND x.last < r.observed_at AND r.mac = x.device AND r.epoch = x.epoch) AS again
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::bigint[])
    WITH ORDINALITY AS x (resource, device, first, last, epoch, n)
