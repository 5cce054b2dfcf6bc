COPY disk_reading (
    instance_id, node_id, observed_at, received_at, epoch, born_at, read_bytes, write_bytes, read_ops,
    write_ops, flush_ops, target, source
) FROM STDIN BINARY
