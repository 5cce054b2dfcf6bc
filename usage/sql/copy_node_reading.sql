COPY node_reading (
    node_id, observed_at, received_at, cpus, cpu_busy_ms, memory_total_kib, memory_used_kib,
    storage_total_kib, storage_used_kib, rx_bytes, tx_bytes, boot_id
) FROM STDIN BINARY
