-- A day of each node of the bench for each of the $2 days before $1, a little fuller every day.
INSERT INTO node_day (
    node_id, day, cpus, memory_total_kib, storage_total_kib, span_ms, observed_ms, cpu_busy_ms, memory_used_kib_mean,
    memory_used_kib_max, storage_used_kib_last, vcpu_ms, memory_kib_s, provisioned_kib_s, is_complete
)
SELECT n.node_id, $1::date - d.back::integer, 64, 536870912, 21474836480, 86400000, 86340000,
       1727000000 - 10000000 * d.back, 268435456 - 1048576 * d.back, 300000000, 8589934592 - 67108864 * d.back,
       17280000000 - 86400000 * d.back, 36238786560000 - 90596966400 * d.back, 90596966400000 - 905969664000 * d.back,
       true
FROM node n
CROSS JOIN generate_series(1, $2::bigint) AS d (back)
WHERE n.name LIKE 'bench-%'
