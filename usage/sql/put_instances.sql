-- The latest reading says where and what an instance is, the latest facts what it is called.
UPDATE instance i SET
    node_id = CASE WHEN i.last_seen_at <= x.seen_at THEN $2 ELSE i.node_id END,
    former_node_id = CASE WHEN i.node_id <> $2 AND i.last_seen_at <= x.seen_at THEN i.node_id
                          ELSE COALESCE(i.former_node_id, CASE WHEN x.held_since IS NOT NULL THEN $2 END) END,
    moved_at = CASE WHEN i.node_id <> $2 AND i.last_seen_at <= x.seen_at THEN x.first_read
                    ELSE COALESCE(i.moved_at, x.held_since) END,
    state = CASE WHEN i.last_seen_at <= x.seen_at THEN x.state ELSE i.state END,
    gone_at = CASE WHEN i.last_seen_at <= x.seen_at
                   THEN CASE WHEN x.state = 'gone' THEN x.seen_at END
                   ELSE i.gone_at END,
    first_seen_at = LEAST(i.first_seen_at, x.first_seen_at),
    last_seen_at = GREATEST(i.last_seen_at, x.seen_at),
    name = CASE WHEN x.name IS NOT NULL AND COALESCE(i.facts_at, $8) <= $8 THEN x.name ELSE i.name END,
    tenant_label = CASE WHEN x.name IS NOT NULL AND COALESCE(i.facts_at, $8) <= $8
                        THEN x.tenant_label ELSE i.tenant_label END,
    image = CASE WHEN x.name IS NOT NULL AND COALESCE(i.facts_at, $8) <= $8 THEN x.image ELSE i.image END,
    facts_at = CASE WHEN x.name IS NOT NULL THEN GREATEST(i.facts_at, $8) ELSE i.facts_at END,
    last_epoch = CASE WHEN i.last_seen_at <= x.seen_at THEN x.epoch ELSE i.last_epoch END,
    last_born_at = CASE WHEN i.last_seen_at <= x.seen_at THEN x.born_at ELSE i.last_born_at END,
    last_vcpus = CASE WHEN i.last_seen_at <= x.seen_at THEN x.vcpus ELSE i.last_vcpus END,
    last_memory_kib = CASE WHEN i.last_seen_at <= x.seen_at THEN x.memory_kib ELSE i.last_memory_kib END,
    last_cpu_ns = CASE WHEN i.last_seen_at <= x.seen_at THEN x.cpu_ns ELSE i.last_cpu_ns END,
    last_running_ms = CASE WHEN i.last_seen_at <= x.seen_at THEN x.running_ms ELSE i.last_running_ms END,
    last_vcpu_ms = CASE WHEN i.last_seen_at <= x.seen_at THEN x.vcpu_ms ELSE i.last_vcpu_ms END,
    last_memory_kib_s = CASE WHEN i.last_seen_at <= x.seen_at THEN x.memory_kib_s ELSE i.last_memory_kib_s END
FROM unnest($1::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $9::bigint[],
            $10::timestamptz[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
            $16::bigint[], $17::timestamptz[], $18::timestamptz[], $19::text[])
    AS x (instance_id, first_seen_at, seen_at, state, name, tenant_label, epoch, born_at, vcpus, memory_kib, cpu_ns,
          running_ms, vcpu_ms, memory_kib_s, first_read, held_since, image)
WHERE i.instance_id = x.instance_id
