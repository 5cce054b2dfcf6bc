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
    PRIMARY KEY (tenant_id, resource, device, meter, day)
) WITH (fillfactor = 80);  -- the running day is rewritten every minute
CREATE INDEX usage_day_day ON usage_day (tenant_id, day, meter) INCLUDE (quantity);
SELECT weir_enforce_tenant_read('usage_day');

INSERT INTO usage_day
    (tenant_id, day, kind, resource, device, meter, quantity, measured_us, estimated_us, missing_us)
SELECT u.tenant_id, (u.window_start AT TIME ZONE t.time_zone)::date, u.kind, u.resource, u.device, u.meter,
       sum(u.quantity), sum(u.measured_us)::bigint, sum(u.estimated_us)::bigint, sum(u.missing_us)::bigint
FROM usage_record u
JOIN tenant t ON t.tenant_id = u.tenant_id
GROUP BY 1, 2, 3, 4, 5, 6;

-- A node's day (in UTC), for capacity: made from its readings, kept when they are dropped.
CREATE TABLE node_day (
    node_id               uuid   NOT NULL REFERENCES node (node_id),
    day                   date   NOT NULL,
    cpus                  bigint NOT NULL CHECK (0 <= cpus),
    memory_total_kib      bigint NOT NULL CHECK (0 <= memory_total_kib),
    storage_total_kib     bigint NOT NULL CHECK (0 <= storage_total_kib),
    observed_ms           bigint NOT NULL CHECK (0 <= observed_ms),  -- time between readings of one boot
    cpu_busy_ms           bigint NOT NULL CHECK (0 <= cpu_busy_ms),  -- within observed_ms
    memory_used_kib_mean  bigint NOT NULL CHECK (0 <= memory_used_kib_mean),
    memory_used_kib_max   bigint NOT NULL CHECK (0 <= memory_used_kib_max),
    storage_used_kib_last bigint NOT NULL CHECK (0 <= storage_used_kib_last),
    PRIMARY KEY (node_id, day)
);
SELECT weir_enforce_provider('node_day');
