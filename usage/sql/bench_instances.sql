-- $1 instances of $2 tenants on $3 nodes, from $4 on, last read at $5; each has a volume.
WITH made AS (
    SELECT md5('bench instance ' || n)::uuid AS instance_id, md5('bench volume ' || n)::uuid AS volume_id,
           md5('bench tenant ' || (n - 1) % $2::bigint + 1)::uuid AS tenant_id,
           md5('bench node ' || (n - 1) % $3::bigint + 1)::uuid AS node_id,
           'bench-' || lpad(n::text, 6, '0') AS name
    FROM generate_series(1, $1::bigint) n
), instances AS (
    INSERT INTO instance (
        instance_id, node_id, name, first_seen_at, last_seen_at, state, last_epoch, last_vcpus, last_memory_kib,
        last_cpu_ns, last_running_ms, last_vcpu_ms, last_memory_kib_s
    )
    SELECT m.instance_id, m.node_id, m.name, $4, $5, 'running', 1, 2, 4194304, 1, 1, 1, 1
    FROM made m
), held AS (
    INSERT INTO instance_tenant (instance_id, tenant_id, since)
    SELECT m.instance_id, m.tenant_id, $4 FROM made m
), volumes AS (
    INSERT INTO volume (
        volume_id, pool, name, path, instance_id, first_seen_at, last_observed_at, capacity_bytes, node_id
    )
    SELECT m.volume_id, 'bench', m.name, '', m.instance_id, $4, $5, 10737418240, m.node_id FROM made m
), kept AS (
    INSERT INTO volume_tenant (volume_id, tenant_id, since)
    SELECT m.volume_id, m.tenant_id, $4 FROM made m
)
INSERT INTO reading_head (resource, kind, device, first_observed_at, last_observed_at, is_gone)
SELECT x.resource, x.kind, x.device, $4, $5, false
FROM made m
CROSS JOIN LATERAL (VALUES (m.instance_id, 'instance', ''), (m.instance_id, 'disk', 'vda'),
                           (m.instance_id, 'nic', '52:54:00:00:00:01'), (m.volume_id, 'volume', ''))
    AS x (resource, kind, device)
