-- What prices may depend on beside the meter (dimensions), and what the provider corrects of usage. Both are only ever
-- added to: a later row takes the place of an earlier one, and the earlier one still says what held then and who said so.

CREATE TABLE resource_dimension (
    change_id   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,  -- of two at one instant the later one holds
    kind        text        NOT NULL CHECK (kind IN ('instance', 'disk', 'nic', 'volume')),
    resource    uuid        NOT NULL,
    device      text        NOT NULL CHECK ((device <> '') = (kind IN ('disk', 'nic'))),
    name        text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,31}$'),
    value       text        NULL CHECK (value ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),  -- NULL: none from then on
    valid_from  timestamptz NOT NULL,  -- the start of a usage window
    is_rule     boolean     NOT NULL,  -- given by a rule of the configuration; a person's word goes before it
    author      text        NOT NULL CHECK (char_length(author) BETWEEN 1 AND 100),
    recorded_at timestamptz NOT NULL
);
CREATE INDEX resource_dimension_resource ON resource_dimension (resource, valid_from);

-- Like instances and volumes: a tenant sees what belongs to those that it holds or once held.
SELECT weir_enforce_provider('resource_dimension');
CREATE POLICY weir_read_held ON resource_dimension FOR SELECT TO weir_app
    USING (CASE kind
           WHEN 'volume' THEN EXISTS (SELECT FROM volume_tenant vt
                                      WHERE vt.volume_id = resource_dimension.resource
                                        AND vt.tenant_id = (SELECT weir_tenant_id()))
           ELSE EXISTS (SELECT FROM instance_tenant it
                        WHERE it.instance_id = resource_dimension.resource
                          AND it.tenant_id = (SELECT weir_tenant_id())) END);

-- ---------------------------------------------------------------------------------------------------------------
-- Usage records are never rewritten: invoices are rated from the records and from these.

CREATE TABLE usage_correction (
    correction_id uuid        PRIMARY KEY,
    tenant_id     uuid        NOT NULL REFERENCES tenant (tenant_id)
                              CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000'),
    kind          text        NOT NULL CHECK (kind IN ('instance', 'disk', 'nic', 'volume')),
    resource      uuid        NOT NULL,
    device        text        NOT NULL CHECK ((device <> '') = (kind IN ('disk', 'nic'))),
    meter         text        NOT NULL,
    window_start  timestamptz NOT NULL,
    window_end    timestamptz NOT NULL CHECK (window_start < window_end),
    action        text        NOT NULL CHECK (action IN ('annotate', 'exclude', 'add', 'withdraw')),
    quantity      bigint      NULL CHECK (0 < quantity),  -- never negative: no correction makes a window negative
    withdraws     uuid        NULL UNIQUE REFERENCES usage_correction (correction_id),
    reason        text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    author        text        NOT NULL CHECK (char_length(author) BETWEEN 1 AND 100),
    recorded_at   timestamptz NOT NULL,
    CHECK ((action = 'add') = (quantity IS NOT NULL)),
    CHECK ((action = 'withdraw') = (withdraws IS NOT NULL))
);
CREATE INDEX usage_correction_tenant ON usage_correction (tenant_id, window_start);
CREATE INDEX usage_correction_recorded ON usage_correction (recorded_at, correction_id);
SELECT weir_enforce_tenant_read('usage_correction');

-- ---------------------------------------------------------------------------------------------------------------
-- The windows of a day in its row, so that prices that change within the day (a night rate) are rated from 31 rows a month
-- too. Records lie on the disk by time, those of one series each on a page of its own. Only where the day's records adjoin,
-- are equally long and were measured from end to end, so that their starts and coverage need not be kept: window n begins
-- n - 1 lengths of measured_us / records after the first. NULL: read the records. That holds for all days before this.

ALTER TABLE usage_day
    ADD COLUMN first_window timestamptz NULL,
    ADD COLUMN windows      bigint[]    NULL,  -- the quantity of each; their sum is the row's
    ADD CHECK ((windows IS NULL) = (first_window IS NULL)),
    ADD CHECK (windows IS NULL
               OR cardinality(windows) = records AND estimated_us = 0 AND missing_us = 0 AND measured_us % records = 0);

-- ---------------------------------------------------------------------------------------------------------------
-- What is final.

CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON resource_dimension
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON resource_dimension
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON usage_correction
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON usage_correction
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE resource_dimension ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE resource_dimension ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE usage_correction ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE usage_correction ENABLE ALWAYS TRIGGER weir_guard_all;
