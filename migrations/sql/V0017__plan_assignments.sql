-- By which plan a tenant is billed, and from which month on. A plan that was said of the tenant as it is now also billed the month that
-- had ended and was not invoiced yet.

-- Of several words the last one holds whose day has come. An invoice has one plan, so that another one begins with a month.
CREATE TABLE plan_assignment (
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id),
    revision    integer     NOT NULL CHECK (0 < revision),
    valid_from  date        NOT NULL CHECK (extract(day FROM valid_from) = 1),  -- in the tenant's zone; 0001-01-01: for all time
    plan_name   text        NULL CHECK (plan_name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),  -- NULL: none, so it is not invoiced
    recorded_at timestamptz NOT NULL,
    recorded_by text        NULL,  -- NULL: nobody was asked then
    PRIMARY KEY (tenant_id, revision)
);
SELECT weir_enforce_tenant_read('plan_assignment');
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON plan_assignment
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON plan_assignment
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE plan_assignment ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE plan_assignment ENABLE ALWAYS TRIGGER weir_guard_all;
CREATE INDEX plan_assignment_plan_name ON plan_assignment (plan_name);

-- Whoever has a plan keeps it for all of the past.
INSERT INTO plan_assignment (tenant_id, revision, valid_from, plan_name, recorded_at)
SELECT tenant_id, 1, '0001-01-01', plan_name, now()
FROM tenant
WHERE plan_name IS NOT NULL;
ALTER TABLE tenant DROP COLUMN plan_name;

-- The plan by which a tenant is billed on a day of its zone; NULL: none.
CREATE FUNCTION weir_plan_on(tenant uuid, day date) RETURNS text
    LANGUAGE sql STABLE
AS $$
    SELECT a.plan_name
    FROM public.plan_assignment a
    WHERE a.tenant_id = tenant AND a.valid_from <= day
    ORDER BY a.revision DESC
    LIMIT 1
$$;
