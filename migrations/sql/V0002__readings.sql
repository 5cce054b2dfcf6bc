-- Readings as they came in, what was handed over in which batch, and what has to be derived again.
--
-- The reading tables carry no tenant_id and no row-level security, because PostgreSQL refuses COPY FROM into a table
-- that has it. Instead weir_app may only add rows to them, in the provider scope, and sees rows only through the
-- views visible_*, which know who held what at observed_at. So nobody but the owner can change or delete a reading.

CREATE FUNCTION weir_require_provider() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT public.weir_scope_is_provider() THEN
        RAISE EXCEPTION 'readings are added in the provider scope only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- One wide table for each kind of resource. The columns are written down as plain tables first and then made into
-- partitioned tables or hypertables below, since CREATE TABLE cannot choose.

CREATE TABLE shape_instance_reading (
    instance_id  uuid        NOT NULL,
    node_id      uuid        NOT NULL,
    observed_at  timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    epoch        bigint      NOT NULL,
    born_at      timestamptz NULL,
    vcpus        bigint      NOT NULL,
    memory_kib   bigint      NOT NULL,
    cpu_ns       bigint      NOT NULL,
    running_ms   bigint      NOT NULL,
    vcpu_ms      bigint      NOT NULL,
    memory_kib_s bigint      NOT NULL,
    state        text        NOT NULL
);

CREATE TABLE shape_disk_reading (
    instance_id uuid        NOT NULL,
    node_id     uuid        NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    epoch       bigint      NOT NULL,
    born_at     timestamptz NULL,
    read_bytes  bigint      NOT NULL,
    write_bytes bigint      NOT NULL,
    read_ops    bigint      NOT NULL,
    write_ops   bigint      NOT NULL,
    flush_ops   bigint      NOT NULL,
    target      text        NOT NULL,
    source      text        NOT NULL
);

CREATE TABLE shape_nic_reading (
    instance_id uuid        NOT NULL,
    node_id     uuid        NOT NULL,
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    epoch       bigint      NOT NULL,
    born_at     timestamptz NULL,
    rx_bytes    bigint      NOT NULL,
    tx_bytes    bigint      NOT NULL,
    rx_packets  bigint      NOT NULL,
    tx_packets  bigint      NOT NULL,
    mac         text        NOT NULL
);

CREATE TABLE shape_volume_reading (
    volume_id         uuid        NOT NULL,
    node_id           uuid        NOT NULL,
    observed_at       timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    epoch             bigint      NOT NULL,
    born_at           timestamptz NULL,
    capacity_bytes    bigint      NOT NULL,
    provisioned_kib_s bigint      NOT NULL,
    is_present        boolean     NOT NULL  -- false in the last reading of a volume that was deleted
);

CREATE TABLE shape_node_reading (
    node_id           uuid        NOT NULL,
    observed_at       timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    cpus              bigint      NOT NULL,
    cpu_busy_ms       bigint      NOT NULL,
    memory_total_kib  bigint      NOT NULL,
    memory_used_kib   bigint      NOT NULL,
    storage_total_kib bigint      NOT NULL,
    storage_used_kib  bigint      NOT NULL,
    rx_bytes          bigint      NOT NULL,
    tx_bytes          bigint      NOT NULL
);

DO $$
DECLARE
    profile  CONSTANT text := (SELECT s.profile FROM weir_storage s);
    -- Columnstore compression is not under TimescaleDB's Apache licence.
    may_compress CONSTANT boolean := current_setting('timescaledb.license', true) IS NOT DISTINCT FROM 'timescale';
    -- A tenant sees the readings of what it held at that instant.
    held CONSTANT text :=
        'EXISTS (SELECT FROM %1$s_tenant h
                 WHERE h.%1$s_id = r.%1$s_id AND h.tenant_id = (SELECT weir_tenant_id())
                   AND h.since <= r.observed_at AND (h.until IS NULL OR r.observed_at < h.until))';
    reading record;
BEGIN
    FOR reading IN
        SELECT v.name, v.holder
        FROM (VALUES ('instance_reading', 'instance'), ('disk_reading', 'instance'), ('nic_reading', 'instance'),
                     ('volume_reading', 'volume'), ('node_reading', 'node')) AS v (name, holder)
    LOOP
        EXECUTE format('CREATE TABLE %I (LIKE %I) %s', reading.name, 'shape_' || reading.name,
                       CASE WHEN profile = 'plain' THEN 'PARTITION BY RANGE (observed_at)' ELSE '' END);
        EXECUTE format('DROP TABLE %I', 'shape_' || reading.name);
        IF profile = 'timescale' THEN
            EXECUTE format('SELECT create_hypertable(%L::regclass, ''observed_at''::name,
                                                     chunk_time_interval => INTERVAL ''1 day'',
                                                     create_default_indexes => false)', reading.name);
        END IF;
        -- Not unique: the ledger alone makes readings exactly-once, and a row twice could not change C(t).
        EXECUTE format('CREATE INDEX %I ON %I (%I, observed_at)',
                       reading.name || '_resource', reading.name, reading.holder || '_id');
        IF profile = 'timescale' AND may_compress THEN
            -- After a week late readings are rare enough.
            EXECUTE format('ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = %L,
                                                timescaledb.compress_orderby = ''observed_at'')',
                           reading.name, reading.holder || '_id');
            EXECUTE format('SELECT add_compression_policy(%L::regclass, compress_after => INTERVAL ''7 days'')',
                           reading.name);
        END IF;
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC', reading.name);
        EXECUTE format('GRANT INSERT ON %I TO weir_app', reading.name);
        EXECUTE format('CREATE TRIGGER weir_require_provider BEFORE INSERT ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION weir_require_provider()', reading.name);
        EXECUTE format('CREATE VIEW %I AS SELECT r.* FROM %I r
                        WHERE (SELECT weir_scope_is_provider()) %s', 'visible_' || reading.name, reading.name,
                       CASE WHEN reading.holder = 'node' THEN '' ELSE 'OR ' || format(held, reading.holder) END);
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC', 'visible_' || reading.name);
        EXECUTE format('GRANT SELECT ON %I TO weir_app', 'visible_' || reading.name);
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Facts may arrive in another order than they were collected: the newer ones win.

ALTER TABLE instance ADD COLUMN facts_at timestamptz NULL;
ALTER TABLE volume ADD COLUMN facts_at timestamptz NULL;

-- ---------------------------------------------------------------------------------------------------------------
-- Exactly once: a batch's line is committed together with its rows, and kept as long as they are.

CREATE TABLE batch_ledger (
    node_id      uuid        NOT NULL,
    seq          bigint      NOT NULL CHECK (0 <= seq),
    collected_at timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    rows         bigint      NOT NULL CHECK (0 <= rows),
    PRIMARY KEY (node_id, seq)
);
SELECT weir_enforce_provider('batch_ledger');

-- What the node said it could not read. Absent is not zero.
CREATE TABLE reading_gap (
    node_id     uuid        NOT NULL,
    seq         bigint      NOT NULL,
    instance_id uuid        NULL,  -- NULL: the whole node
    device      text        NULL,  -- NULL: all of the instance
    span_start  timestamptz NOT NULL,
    span_end    timestamptz NOT NULL CHECK (span_start < span_end),
    reason      text        NOT NULL,
    detail      text        NOT NULL
);
CREATE INDEX reading_gap_instance ON reading_gap (instance_id, span_start);
CREATE INDEX reading_gap_node ON reading_gap (node_id, span_start);
SELECT weir_enforce_provider('reading_gap');

-- Rows that cannot be true. Kept as they came, for people; nothing is derived from them.
CREATE TABLE quarantine (
    node_id     uuid        NOT NULL,
    seq         bigint      NOT NULL,
    received_at timestamptz NOT NULL,
    kind        text        NOT NULL,
    reason      text        NOT NULL,
    payload     jsonb       NOT NULL
);
CREATE INDEX quarantine_received_at ON quarantine (received_at);
SELECT weir_enforce_provider('quarantine');

-- The first and last reading of each resource and device: what makes finding the neighbours of a new reading cheap
-- while readings come in order, and what shows who has fallen silent.
CREATE TABLE reading_head (
    resource          uuid        NOT NULL,
    kind              text        NOT NULL CHECK (kind IN ('instance', 'disk', 'nic', 'volume')),
    device            text        NOT NULL,
    first_observed_at timestamptz NOT NULL,
    last_observed_at  timestamptz NOT NULL,
    is_gone           boolean     NOT NULL,  -- the last reading says that no more are to be expected
    overdue_until     timestamptz NULL,      -- windows before this were marked because nothing had arrived
    PRIMARY KEY (resource, kind, device)
) WITH (fillfactor = 70);  -- rewritten by every batch: room for the new version on the same page
CREATE INDEX reading_head_silent ON reading_head (last_observed_at)
    WHERE NOT is_gone AND kind IN ('instance', 'volume');
SELECT weir_enforce_provider('reading_head');

-- Usage that must be derived again. Usually one usage window a row; a day where a long silence ended.
CREATE TABLE dirty_window (
    kind         text        NOT NULL CHECK (kind IN ('instance', 'volume')),
    resource     uuid        NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL CHECK (window_start < window_end),
    PRIMARY KEY (kind, resource, window_start)
);
SELECT weir_enforce_provider('dirty_window');
