-- A node's readings of some minutes, the latest first.
SELECT observed_at, boot_id, cpus, cpu_busy_ms, memory_total_kib, memory_used_kib, storage_total_kib, storage_used_kib
FROM visible_node_reading
WHERE node_id = $1 AND $2 <= observed_at AND observed_at <= $3
ORDER BY observed_at DESC
