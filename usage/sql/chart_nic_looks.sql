-- The last reading of each life of each NIC in each step of $4 microseconds, for long steps: the last look of each step is looked up,
-- and only where it does not tell of the same lives as the one of the step before is the whole step read. What is looked
-- at together has one instant. What comes and goes within one step is not found: no curve is drawn of a single reading.
WITH step AS (
    SELECT n AS step, GREATEST($2, TIMESTAMPTZ 'epoch' + n * $4::bigint * INTERVAL '1 microsecond') AS from_at,
           LEAST($3, TIMESTAMPTZ 'epoch' + (n + 1) * $4::bigint * INTERVAL '1 microsecond') AS to_at
    FROM generate_series((EXTRACT(EPOCH FROM $2::timestamptz) * 1000000)::bigint / $4::bigint,
                         (EXTRACT(EPOCH FROM $3::timestamptz) * 1000000)::bigint / $4::bigint) AS n
), look AS MATERIALIZED (
    SELECT s.step, s.from_at, s.to_at, l.observed_at, l.lives
    FROM step s
    CROSS JOIN LATERAL (
        SELECT x.observed_at, array_agg(ROW(x.mac, x.epoch)::text ORDER BY ROW(x.mac, x.epoch)::text) AS lives
        FROM (SELECT r.observed_at, r.mac, r.epoch
              FROM visible_nic_reading r
              WHERE r.instance_id = $1 AND s.from_at <= r.observed_at AND r.observed_at < s.to_at
              ORDER BY r.observed_at DESC
              FETCH FIRST 1 ROWS WITH TIES) x
        GROUP BY x.observed_at
    ) l
), span AS MATERIALIZED (
    SELECT l.step, l.to_at,
           CASE WHEN l.lives = lag(l.lives) OVER (ORDER BY l.step) THEN l.observed_at ELSE l.from_at END AS from_at
    FROM look l
)
SELECT DISTINCT ON (s.step, r.mac, r.epoch) s.step, r.mac AS device, r.observed_at, r.epoch, r.registers
FROM span s
CROSS JOIN LATERAL (
    SELECT r.mac, r.observed_at, r.epoch, ARRAY[r.rx_bytes, r.tx_bytes] AS registers
    FROM visible_nic_reading r
    WHERE r.instance_id = $1 AND s.from_at <= r.observed_at AND r.observed_at < s.to_at
    OFFSET 0
) r
ORDER BY s.step, r.mac, r.epoch, r.observed_at DESC
