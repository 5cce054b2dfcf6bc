-- Price plans and invoices. Money and quantities are numeric, never floats. What is issued is final: triggers refuse
-- every change, whoever asks (they hold for the owner and for superusers, too, and fire in replica mode).

-- ---------------------------------------------------------------------------------------------------------------
-- Plans: every text that was ever applied, to the last byte. The latest revision of a name is in force.

CREATE TABLE price_plan (
    plan_name  text        NOT NULL CHECK (plan_name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    revision   integer     NOT NULL CHECK (0 < revision),
    currency   text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    content    text        NOT NULL CHECK (octet_length(content) BETWEEN 1 AND 1048576),
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (plan_name, revision)
);
SELECT weir_enforce_provider('price_plan');

-- ---------------------------------------------------------------------------------------------------------------
-- Numbers: one row for each series. Taking a number locks the row until the transaction ends, so that a number is
-- given only together with its invoice, and none is left out.

CREATE TABLE invoice_series (
    series      text   PRIMARY KEY CHECK (series ~ '^INV-[0-9]{4}$'),
    last_number bigint NOT NULL CHECK (0 < last_number)
);
SELECT weir_enforce_provider('invoice_series');

-- ---------------------------------------------------------------------------------------------------------------
-- Invoices.

CREATE TABLE invoice (
    invoice_id    uuid        PRIMARY KEY,
    -- Usage that nobody was assigned yet is never invoiced.
    tenant_id     uuid        NOT NULL REFERENCES tenant (tenant_id)
                              CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000'),
    status        text        NOT NULL CHECK (status IN ('draft', 'issued', 'paid', 'void')),
    series        text        NULL REFERENCES invoice_series (series),
    series_number bigint      NULL CHECK (0 < series_number),
    number        text        NULL UNIQUE
        CHECK (number = series || '-' || lpad(series_number::text, greatest(6, length(series_number::text)), '0')),
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL CHECK (period_start < period_end),
    plan_name     text        NOT NULL,
    plan_revision integer     NOT NULL,
    currency      text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal      numeric     NOT NULL,
    tax_rate      numeric     NOT NULL CHECK (0 <= tax_rate AND tax_rate <= 1),
    tax_amount    numeric     NOT NULL,
    total         numeric     NOT NULL CHECK (total = subtotal + tax_amount),
    issued_at     timestamptz NULL CHECK (period_end <= issued_at),
    settled_at    timestamptz NULL CHECK (issued_at <= settled_at),
    -- The document as it was sent. Text, because json would do, but jsonb would reorder it.
    document      text        NULL CHECK (document IS NULL OR document::json IS NOT NULL),
    UNIQUE (invoice_id, tenant_id),
    UNIQUE (series, series_number),
    FOREIGN KEY (plan_name, plan_revision) REFERENCES price_plan (plan_name, revision),
    CHECK (CASE WHEN status = 'draft'
                THEN num_nulls(series, series_number, number, issued_at, document) = 5
                ELSE num_nulls(series, series_number, number, issued_at, document) = 0 END),
    CHECK ((settled_at IS NOT NULL) = (status IN ('paid', 'void'))),
    -- Nothing is invoiced twice.
    CONSTRAINT invoice_periods_do_not_overlap
        EXCLUDE USING gist (tenant_id WITH =, tstzrange(period_start, period_end) WITH &&) WHERE (status <> 'void')
);
CREATE INDEX invoice_tenant_id ON invoice (tenant_id, issued_at);
CREATE INDEX invoice_issued_at ON invoice (issued_at);
SELECT weir_enforce_tenant_read('invoice');

CREATE TABLE invoice_line (
    tenant_id     uuid        NOT NULL,
    invoice_id    uuid        NOT NULL,
    position      integer     NOT NULL CHECK (0 < position),
    key           text        NOT NULL,
    meter         text        NOT NULL,
    tier          text        NOT NULL,
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL CHECK (period_start < period_end),
    base_quantity numeric     NOT NULL CHECK (0 <= base_quantity AND base_quantity = trunc(base_quantity)),
    quantity      numeric     NOT NULL CHECK (0 <= quantity),
    unit          text        NOT NULL,
    unit_price    numeric     NOT NULL,
    amount        numeric     NOT NULL,
    PRIMARY KEY (invoice_id, position),
    UNIQUE (invoice_id, key),
    -- With the tenant, so that a line can never belong to another tenant than its invoice.
    FOREIGN KEY (invoice_id, tenant_id) REFERENCES invoice (invoice_id, tenant_id)
);
CREATE INDEX invoice_line_tenant_id ON invoice_line (tenant_id);
SELECT weir_enforce_tenant_read('invoice_line');

-- ---------------------------------------------------------------------------------------------------------------
-- What is final.

CREATE FUNCTION weir_refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was recorded there is final', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

-- An invoice begins as a draft, is issued once it adds up, and then only ever becomes paid or void.
CREATE FUNCTION weir_guard_invoice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before_settling public.invoice%ROWTYPE;
    sum_of_lines    numeric;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'draft' THEN
            RAISE EXCEPTION 'an invoice begins as a draft, not as %', NEW.status USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;

    IF OLD.status <> 'draft' THEN
        IF TG_OP = 'UPDATE' AND OLD.status = 'issued' AND NEW.status IN ('paid', 'void') THEN
            before_settling := NEW;
            before_settling.status := OLD.status;
            before_settling.settled_at := OLD.settled_at;
            -- As text, because 1.0 equals 1.00 and is yet another invoice.
            IF before_settling::text = OLD::text THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION '% of invoice % is refused: what is issued is final', TG_OP, OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;

    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.status = 'draft' THEN
        RETURN NEW;
    END IF;
    IF NEW.status <> 'issued' THEN
        RAISE EXCEPTION 'a draft cannot become %', NEW.status USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT sum(l.amount) INTO sum_of_lines FROM public.invoice_line l WHERE l.invoice_id = NEW.invoice_id;
    IF sum_of_lines IS DISTINCT FROM NEW.subtotal THEN
        RAISE EXCEPTION 'invoice % does not add up: its lines are %, its subtotal is %',
            NEW.number, sum_of_lines, NEW.subtotal USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM public.invoice_series s
                   WHERE s.series = NEW.series AND s.last_number = NEW.series_number) THEN
        RAISE EXCEPTION 'number % was not taken from its series', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Lines change with their draft only. A parent that cannot be seen counts as issued.
CREATE FUNCTION weir_guard_invoice_line() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parents uuid[] := ARRAY[]::uuid[];
    parent  uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        parents := parents || OLD.invoice_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        parents := parents || NEW.invoice_id;
    END IF;
    FOREACH parent IN ARRAY parents LOOP
        -- Locked, so that nobody issues it in between.
        PERFORM FROM public.invoice i WHERE i.invoice_id = parent AND i.status = 'draft' FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION '% of a line of invoice % is refused: what is issued is final', TG_OP, parent
                USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;

-- A series starts at 1 and goes up by 1.
CREATE FUNCTION weir_guard_invoice_series() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.last_number = 1 THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.series = OLD.series AND NEW.last_number = OLD.last_number + 1 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of series % is refused: numbers go up by one', TG_OP, COALESCE(OLD.series, NEW.series)
        USING ERRCODE = 'restrict_violation';
END
$$;

-- At the end of the transaction, a number that was taken has an invoice.
CREATE FUNCTION weir_guard_invoice_number() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.invoice i
                   WHERE i.series = NEW.series AND i.series_number = NEW.last_number) THEN
        RAISE EXCEPTION 'number % of series % was taken without an invoice', NEW.last_number, NEW.series
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER weir_guard BEFORE INSERT OR UPDATE OR DELETE ON invoice
    FOR EACH ROW EXECUTE FUNCTION weir_guard_invoice();
CREATE TRIGGER weir_guard BEFORE INSERT OR UPDATE OR DELETE ON invoice_line
    FOR EACH ROW EXECUTE FUNCTION weir_guard_invoice_line();
CREATE TRIGGER weir_guard BEFORE INSERT OR UPDATE OR DELETE ON invoice_series
    FOR EACH ROW EXECUTE FUNCTION weir_guard_invoice_series();
CREATE CONSTRAINT TRIGGER weir_guard_number AFTER INSERT OR UPDATE ON invoice_series
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION weir_guard_invoice_number();
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON price_plan
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();

CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON invoice
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON invoice_line
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON invoice_series
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON price_plan
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();

-- ALWAYS: not even session_replication_role = replica goes around them.
ALTER TABLE invoice ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE invoice ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE invoice_line ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE invoice_line ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE invoice_series ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE invoice_series ENABLE ALWAYS TRIGGER weir_guard_number;
ALTER TABLE invoice_series ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE price_plan ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE price_plan ENABLE ALWAYS TRIGGER weir_guard_all;
