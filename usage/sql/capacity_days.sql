SELECT node_id, day, cpus, memory_total_kib, storage_total_kib, span_ms, observed_ms, cpu_busy_ms, memory_used_kib_mean,
       memory_used_kib_max, storage_used_kib_last, vcpu_ms::float8 AS vcpu_ms, memory_kib_s::float8 AS memory_kib_s,
       provisioned_kib_s::float8 AS provisioned_kib_s, is_complete
FROM node_day
WHERE $1 <= day
ORDER BY node_id, day
