COPY nic_reading (
    instance_id, node_id, observed_at, received_at, epoch, born_at, rx_bytes, tx_bytes, rx_packets,
    tx_packets, mac
) FROM STDIN BINARY
