-- What must hold in the database whatever happened, as name|count. Run by the owner, who sees every tenant's rows.
WITH reading AS (
    SELECT 'instance' AS kind, instance_id, '' AS device, node_id, epoch, observed_at,
           ARRAY[cpu_ns, running_ms, vcpu_ms, memory_kib_s] AS registers
    FROM instance_reading
    UNION ALL
    SELECT 'disk', instance_id, target, node_id, epoch, observed_at,
           ARRAY[read_bytes, write_bytes, read_ops, write_ops]
    FROM disk_reading
    UNION ALL
    SELECT 'nic', instance_id, mac, node_id, epoch, observed_at, ARRAY[rx_bytes, tx_bytes, rx_packets, tx_packets]
    FROM nic_reading
), before AS (
    SELECT registers, lag(registers) OVER (
               PARTITION BY kind, instance_id, device, epoch ORDER BY observed_at, registers
           ) AS earlier
    FROM reading
)
SELECT 'readings', count(*) FROM reading
UNION ALL
SELECT 'batches', count(*) FROM batch_ledger
UNION ALL
SELECT 'quarantined', count(*) FROM quarantine WHERE released_at IS NULL
UNION ALL
SELECT 'gaps', count(*) FROM reading_gap
UNION ALL
-- The same look of the same node, stored twice.
SELECT 'double', count(*) FROM (
    SELECT FROM reading GROUP BY kind, instance_id, device, node_id, epoch, observed_at HAVING 1 < count(*)
) AS twice
UNION ALL
SELECT 'backward', count(*) FROM before
WHERE EXISTS (
    SELECT FROM unnest(registers, earlier) AS pair (later, sooner) WHERE pair.later < pair.sooner
)
UNION ALL
SELECT 'negative', count(*) FROM usage_record WHERE quantity < 0
UNION ALL
-- More time than a window has.
SELECT 'overfull', count(*) FROM usage_record
WHERE EXTRACT(EPOCH FROM window_end - window_start) * 1000000 < measured_us + estimated_us + missing_us;
