COPY volume_reading (
    volume_id, node_id, observed_at, received_at, epoch, born_at, capacity_bytes, provisioned_kib_s,
    is_present
) FROM STDIN BINARY
