COPY instance_reading (
    instance_id, node_id, observed_at, received_at, epoch, born_at, vcpus, memory_kib, cpu_ns,
    running_ms, vcpu_ms, memory_kib_s, state
) FROM STDIN BINARY
