-- Who pays (tenant), what is metered (node, instance, volume), who held what when, and the rules that keep
-- tenants apart. Everything belongs to the role that migrates; weir_app, as which the application works, owns
-- nothing. Written for PostgreSQL 15 and newer.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Only the owner creates things here (the default from PostgreSQL 15 on; older databases bring a wider grant along).
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- ---------------------------------------------------------------------------------------------------------------
-- Scope: every transaction of the application says for whom it works. Nothing said means nothing seen.

CREATE FUNCTION weir_scope_is_provider() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN COALESCE(current_setting('weir.scope', true), '') = 'provider';

CREATE FUNCTION weir_tenant_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN current_setting('weir.scope', true) = 'tenant'
                THEN NULLIF(current_setting('weir.tenant_id', true), '')::uuid END;

-- The three kinds of table. Each function takes the table away from everybody, gives weir_app rows but no DDL and
-- no TRUNCATE, and switches row-level security on for the owner too. The sub-selects make PostgreSQL evaluate the
-- scope once per statement, not once per row.

-- A table with a tenant_id: the tenant reads and writes its own rows, the provider all.
CREATE FUNCTION weir_enforce_tenant(target regclass) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.weir_enforce_rows(target);
    EXECUTE format(
        'CREATE POLICY weir_own_rows ON %s TO weir_app
             USING ((SELECT public.weir_scope_is_provider()) OR tenant_id = (SELECT public.weir_tenant_id()))
             WITH CHECK ((SELECT public.weir_scope_is_provider()) OR tenant_id = (SELECT public.weir_tenant_id()))',
        target);
END
$$;

-- A table with a tenant_id that the tenant may read and only the provider may write.
CREATE FUNCTION weir_enforce_tenant_read(target regclass) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.weir_enforce_provider(target);
    EXECUTE format(
        'CREATE POLICY weir_read_own_rows ON %s FOR SELECT TO weir_app
             USING (tenant_id = (SELECT public.weir_tenant_id()))',
        target);
END
$$;

-- A table that only the provider sees and writes.
CREATE FUNCTION weir_enforce_provider(target regclass) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.weir_enforce_rows(target);
    EXECUTE format(
        'CREATE POLICY weir_provider ON %s TO weir_app
             USING ((SELECT public.weir_scope_is_provider()))
             WITH CHECK ((SELECT public.weir_scope_is_provider()))',
        target);
END
$$;

-- What the three have in common.
CREATE FUNCTION weir_enforce_rows(target regclass) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', target);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO weir_app', target);
END
$$;

REVOKE EXECUTE ON FUNCTION
    weir_enforce_tenant(regclass), weir_enforce_tenant_read(regclass),
    weir_enforce_provider(regclass), weir_enforce_rows(regclass)
    FROM PUBLIC;

-- ---------------------------------------------------------------------------------------------------------------
-- Storage: chosen at the first migration (the runner sets weir.storage_profile) and kept for the database's life.

CREATE TABLE weir_storage (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    profile  text NOT NULL CHECK (profile IN ('plain', 'timescale'))
);
INSERT INTO weir_storage (profile) VALUES (current_setting('weir.storage_profile'));
GRANT SELECT ON weir_storage TO weir_app;

-- Creates the daily partitions <table>_pYYYYMMDD (days in UTC) that cover [starts, ends) and returns how many were
-- new. A hypertable needs none. A new partition is filled in beside the table and then attached, which does not
-- block readers and writers. Partitions are closed to weir_app: rows are reached through the table, with its rules.
CREATE FUNCTION weir_ensure_partitions(target regclass, starts timestamptz, ends timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    -- Eleven years: more days at once are a slip in the caller's dates.
    days_max CONSTANT integer := 4018;
    parent    pg_class%ROWTYPE;
    partition text;
    day       date := starts::date;
    made      integer := 0;
BEGIN
    IF NOT public.weir_scope_is_provider() THEN
        RAISE EXCEPTION 'partitions are made in the provider scope only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT c.* INTO STRICT parent FROM pg_class c WHERE c.oid = target;
    IF parent.relowner <> current_user::regrole THEN
        RAISE EXCEPTION 'table % is not Weir''s', target USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF parent.relkind <> 'p' THEN
        IF (SELECT s.profile FROM public.weir_storage s) = 'timescale' THEN
            RETURN 0;
        END IF;
        RAISE EXCEPTION 'table % is not partitioned', target USING ERRCODE = 'wrong_object_type';
    END IF;
    IF ends - starts > make_interval(days => days_max) THEN
        RAISE EXCEPTION 'more than % daily partitions at once', days_max USING ERRCODE = 'program_limit_exceeded';
    END IF;

    WHILE day::timestamptz < ends LOOP
        partition := format('%I.%I', parent.relnamespace::regnamespace::text,
                            parent.relname || '_p' || to_char(day, 'YYYYMMDD'));
        IF to_regclass(partition) IS NULL THEN
            -- Two sessions that need the same day: the second waits here and then finds it made. The lock is the one
            -- that ATTACH takes anyway; an advisory lock would not refresh what this session knows of the catalogue.
            EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', target);
            IF to_regclass(partition) IS NULL THEN
                EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS
                                INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)', partition, target);
                EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
                EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', partition);
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                               target, partition, day::timestamptz, (day + 1)::timestamptz);
                made := made + 1;
            END IF;
        END IF;
        day := day + 1;
    END LOOP;
    RETURN made;
END
$$;

-- Drops the daily partitions (or chunks) that end at or before `before` and returns how many there were.
CREATE FUNCTION weir_drop_partitions(target regclass, before timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    child   regclass;
    dropped integer := 0;
BEGIN
    IF NOT public.weir_scope_is_provider() THEN
        RAISE EXCEPTION 'partitions are dropped in the provider scope only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (SELECT c.relowner FROM pg_class c WHERE c.oid = target) <> current_user::regrole THEN
        RAISE EXCEPTION 'table % is not Weir''s', target USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (SELECT s.profile FROM public.weir_storage s) = 'timescale' THEN
        EXECUTE format('SELECT count(*) FROM public.drop_chunks(%L::regclass, older_than => %L::timestamptz)',
                       target, before) INTO dropped;
        RETURN dropped;
    END IF;
    FOR child IN
        SELECT c.oid::regclass
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = target
          AND c.relname ~ '_p[0-9]{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamptz <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %s', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

REVOKE EXECUTE ON FUNCTION
    weir_ensure_partitions(regclass, timestamptz, timestamptz), weir_drop_partitions(regclass, timestamptz)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    weir_ensure_partitions(regclass, timestamptz, timestamptz), weir_drop_partitions(regclass, timestamptz)
    TO weir_app;

-- ---------------------------------------------------------------------------------------------------------------
-- Who pays.

CREATE TABLE tenant (
    tenant_id    uuid PRIMARY KEY,
    name         text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    display_name text NOT NULL,
    time_zone    text NOT NULL DEFAULT 'UTC',
    plan_name    text NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Usage that nobody was assigned yet belongs to this one: kept, shown to the provider, never dropped.
INSERT INTO tenant (tenant_id, name, display_name)
VALUES ('00000000-0000-0000-0000-000000000000', 'unassigned', 'Unassigned');

SELECT weir_enforce_tenant_read('tenant');

-- ---------------------------------------------------------------------------------------------------------------
-- What is metered.

CREATE TABLE node (
    node_id          uuid PRIMARY KEY,
    name             text NOT NULL,
    boot_id          uuid NULL,
    last_observed_at timestamptz NULL,
    last_seq         bigint NOT NULL DEFAULT 0 CHECK (0 <= last_seq)
);
SELECT weir_enforce_provider('node');

CREATE TABLE instance (
    instance_id   uuid PRIMARY KEY,
    node_id       uuid NOT NULL REFERENCES node (node_id),
    name          text NOT NULL,
    tenant_label  text NULL,  -- what <metadata> claims; who pays is said in instance_tenant
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    state         text NOT NULL,
    gone_at       timestamptz NULL
);
CREATE INDEX instance_node_id ON instance (node_id);

CREATE TABLE instance_tenant (
    instance_id uuid NOT NULL REFERENCES instance (instance_id),
    tenant_id   uuid NOT NULL REFERENCES tenant (tenant_id),
    since       timestamptz NOT NULL,
    until       timestamptz NULL CHECK (since < until),
    PRIMARY KEY (instance_id, since),
    -- Half-open; at every instant an instance has at most one payer.
    EXCLUDE USING gist (instance_id WITH =, tstzrange(since, until) WITH &&)
);
CREATE INDEX instance_tenant_tenant_id ON instance_tenant (tenant_id, since);

CREATE TABLE volume (
    volume_id     uuid PRIMARY KEY,
    pool          text NOT NULL,
    name          text NOT NULL,
    path          text NOT NULL,
    instance_id   uuid NULL REFERENCES instance (instance_id),
    first_seen_at timestamptz NOT NULL,
    gone_at       timestamptz NULL
);
CREATE INDEX volume_instance_id ON volume (instance_id);

CREATE TABLE volume_tenant (
    volume_id uuid NOT NULL REFERENCES volume (volume_id),
    tenant_id uuid NOT NULL REFERENCES tenant (tenant_id),
    since     timestamptz NOT NULL,
    until     timestamptz NULL CHECK (since < until),
    PRIMARY KEY (volume_id, since),
    EXCLUDE USING gist (volume_id WITH =, tstzrange(since, until) WITH &&)
);
CREATE INDEX volume_tenant_tenant_id ON volume_tenant (tenant_id, since);

SELECT weir_enforce_tenant_read('instance_tenant');
SELECT weir_enforce_tenant_read('volume_tenant');

-- An instance and a volume carry no tenant_id of their own: the tenant sees those that it holds or once held. The
-- inner tables are filtered by their own rules.
SELECT weir_enforce_provider('instance');
CREATE POLICY weir_read_held ON instance FOR SELECT TO weir_app
    USING (EXISTS (SELECT FROM instance_tenant it
                   WHERE it.instance_id = instance.instance_id AND it.tenant_id = (SELECT weir_tenant_id())));

SELECT weir_enforce_provider('volume');
CREATE POLICY weir_read_held ON volume FOR SELECT TO weir_app
    USING (EXISTS (SELECT FROM volume_tenant vt
                   WHERE vt.volume_id = volume.volume_id AND vt.tenant_id = (SELECT weir_tenant_id())));
