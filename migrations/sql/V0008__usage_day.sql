-- Usage by day, for pages and lists: each row is the sum of the usage records of one local day of its tenant. Derivation
-- writes it in the transaction that writes the records, so the two never disagree; invoices are rated from the records.

CREATE TABLE usage_day (
    tenant_id    uuid        NOT NULL REFERENCES tenant (tenant_id),
    day          date        NOT NULL,  -- in the tenant's time zone
    kind         text        NOT NULL CHECK (kind IN ('instance', 'disk', 'nic', 'volume')),
    resource     uuid        NOT NULL,
    device       text        NOT NULL,
    meter        text        NOT NULL,
    quantity     numeric     NOT NULL CHECK (0 <= quantity),
    measured_us  bigint      NOT NULL CHECK (0 <= measured_us),
    estimated_us bigint      NOT NULL CHECK (0 <= estimated_us),
    missing_us   bigint      NOT NULL CHECK (0 <= missing_us),
    records      bigint      NOT NULL CHECK (0 < records),  -- how many usage records it sums
    PRIMARY KEY (tenant_id, resource, device, meter, day)
) WITH (fillfactor = 80);  -- the running day is rewritten every minute; no index holds what changes
CREATE INDEX usage_day_meter ON usage_day (tenant_id, meter, day);
SELECT weir_enforce_tenant_read('usage_day');

-- The same, summed over all resources of a tenant: what an overview of thousands of instances reads. Derivation moves it
-- by what usage_day changed, in the same transaction. The row stays at zero when all usage of a day went to another tenant.
CREATE TABLE usage_day_total (
    tenant_id    uuid        NOT NULL REFERENCES tenant (tenant_id),
    day          date        NOT NULL,
    meter        text        NOT NULL,
    quantity     numeric     NOT NULL,  -- no CHECK: a negative difference is proposed before it meets its row
    measured_us  bigint      NOT NULL,
    estimated_us bigint      NOT NULL,
    missing_us   bigint      NOT NULL,
    records      bigint      NOT NULL,
    PRIMARY KEY (tenant_id, day, meter)
) WITH (fillfactor = 50);
SELECT weir_enforce_tenant_read('usage_day_total');

-- ---------------------------------------------------------------------------------------------------------------
-- The latest reading of an instance, so that lists need no reading table: all of it, or nothing.

ALTER TABLE instance
    ADD COLUMN last_epoch        bigint      NULL,
    ADD COLUMN last_born_at      timestamptz NULL,
    ADD COLUMN last_vcpus        bigint      NULL CHECK (0 <= last_vcpus),
    ADD COLUMN last_memory_kib   bigint      NULL CHECK (0 <= last_memory_kib),
    ADD COLUMN last_cpu_ns       bigint      NULL CHECK (0 <= last_cpu_ns),
    ADD COLUMN last_running_ms   bigint      NULL CHECK (0 <= last_running_ms),
    ADD COLUMN last_vcpu_ms      bigint      NULL CHECK (0 <= last_vcpu_ms),
    ADD COLUMN last_memory_kib_s bigint      NULL CHECK (0 <= last_memory_kib_s);
CREATE INDEX instance_name ON instance (name, instance_id);

-- The latest reading of a volume: what is promised, and on which node it lies.
ALTER TABLE volume
    ADD COLUMN last_observed_at timestamptz NULL,
    ADD COLUMN capacity_bytes   bigint      NULL CHECK (0 <= capacity_bytes),
    ADD COLUMN node_id          uuid        NULL REFERENCES node (node_id);

-- ---------------------------------------------------------------------------------------------------------------
-- Which life of the kernel a node's counters belong to: a restart can pass the old value between two readings.

ALTER TABLE node_reading ADD COLUMN boot_id uuid NULL;
CREATE OR REPLACE VIEW visible_node_reading AS
    SELECT r.* FROM node_reading r WHERE (SELECT weir_scope_is_provider());

-- A node's day (in UTC), for capacity: made from its readings, kept when they are dropped.
CREATE TABLE node_day (
    node_id               uuid    NOT NULL REFERENCES node (node_id),
    day                   date    NOT NULL,
    cpus                  bigint  NOT NULL CHECK (0 <= cpus),
    memory_total_kib      bigint  NOT NULL CHECK (0 <= memory_total_kib),
    storage_total_kib     bigint  NOT NULL CHECK (0 <= storage_total_kib),
    span_ms               bigint  NOT NULL CHECK (0 < span_ms),       -- how much of the day had passed
    observed_ms           bigint  NOT NULL CHECK (0 <= observed_ms),  -- time between readings of one boot
    cpu_busy_ms           bigint  NOT NULL CHECK (0 <= cpu_busy_ms),  -- within observed_ms
    memory_used_kib_mean  bigint  NOT NULL CHECK (0 <= memory_used_kib_mean),
    memory_used_kib_max   bigint  NOT NULL CHECK (0 <= memory_used_kib_max),
    storage_used_kib_last bigint  NOT NULL CHECK (0 <= storage_used_kib_last),
    -- Sums of usage_day over what lies on the node.
    vcpu_ms               numeric NOT NULL CHECK (0 <= vcpu_ms),
    memory_kib_s          numeric NOT NULL CHECK (0 <= memory_kib_s),
    provisioned_kib_s     numeric NOT NULL CHECK (0 <= provisioned_kib_s),
    is_complete           boolean NOT NULL,  -- nothing more is expected of the day
    PRIMARY KEY (node_id, day)
);
SELECT weir_enforce_provider('node_day');

-- ---------------------------------------------------------------------------------------------------------------
-- What is there already.

INSERT INTO usage_day
    (tenant_id, day, kind, resource, device, meter, quantity, measured_us, estimated_us, missing_us, records)
SELECT u.tenant_id, (u.window_start AT TIME ZONE t.time_zone)::date, u.kind, u.resource, u.device, u.meter,
       sum(u.quantity), sum(u.measured_us)::bigint, sum(u.estimated_us)::bigint, sum(u.missing_us)::bigint, count(*)
FROM usage_record u
JOIN tenant t ON t.tenant_id = u.tenant_id
GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO usage_day_total (tenant_id, day, meter, quantity, measured_us, estimated_us, missing_us, records)
SELECT d.tenant_id, d.day, d.meter, sum(d.quantity), sum(d.measured_us)::bigint, sum(d.estimated_us)::bigint,
       sum(d.missing_us)::bigint, sum(d.records)::bigint
FROM usage_day d
GROUP BY 1, 2, 3;

UPDATE instance i SET
    last_epoch = r.epoch,
    last_born_at = r.born_at,
    last_vcpus = r.vcpus,
    last_memory_kib = r.memory_kib,
    last_cpu_ns = r.cpu_ns,
    last_running_ms = r.running_ms,
    last_vcpu_ms = r.vcpu_ms,
    last_memory_kib_s = r.memory_kib_s
FROM visible_instance_reading r
WHERE r.instance_id = i.instance_id AND r.observed_at = i.last_seen_at;

UPDATE volume v SET last_observed_at = r.observed_at, capacity_bytes = r.capacity_bytes, node_id = r.node_id
FROM visible_volume_reading r
JOIN reading_head h ON h.resource = r.volume_id AND h.kind = 'volume' AND h.last_observed_at = r.observed_at
WHERE r.volume_id = v.volume_id;
