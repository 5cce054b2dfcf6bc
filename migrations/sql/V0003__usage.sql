-- Usage: how much of each meter, for each resource and window, and how well that is known.

CREATE TABLE usage_record (
    tenant_id    uuid        NOT NULL REFERENCES tenant (tenant_id),
    kind         text        NOT NULL CHECK (kind IN ('instance', 'disk', 'nic', 'volume')),
    resource     uuid        NOT NULL,
    device       text        NOT NULL,  -- '' unless kind is disk or nic
    meter        text        NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    quantity     bigint      NOT NULL CHECK (0 <= quantity),
    measured_us  bigint      NOT NULL CHECK (0 <= measured_us),
    estimated_us bigint      NOT NULL CHECK (0 <= estimated_us),
    missing_us   bigint      NOT NULL CHECK (0 <= missing_us),
    derived_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, resource, device, meter, window_start),
    CHECK (window_start < window_end),
    CHECK (measured_us + estimated_us + missing_us
           <= EXTRACT(EPOCH FROM window_end - window_start) * 1000000)
);
-- For derivation, which works by resource, whoever pays.
CREATE INDEX usage_record_resource ON usage_record (resource, window_start);

-- Written by derivation alone; a tenant reads what is its own.
SELECT weir_enforce_tenant_read('usage_record');
