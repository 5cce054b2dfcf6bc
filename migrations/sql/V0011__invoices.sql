-- The life of an invoice: draft, review, approved, issued, paid, void; credit notes and corrected invoices; billing runs.
-- What is issued is as final as before: see weir_guard_invoice at the end.

-- ---------------------------------------------------------------------------------------------------------------
-- Series: invoices and credit notes are counted apart. The provider may choose their names.

ALTER TABLE invoice_series
    ADD COLUMN kind text NOT NULL DEFAULT 'invoice' CHECK (kind IN ('invoice', 'credit_note')),
    DROP CONSTRAINT invoice_series_series_check,
    ADD CONSTRAINT invoice_series_series_check CHECK (series ~ '^[A-Z0-9]([A-Z0-9-]{0,18}[A-Z0-9])?-[0-9]{4}$');

-- ---------------------------------------------------------------------------------------------------------------
-- Invoices.

ALTER TABLE invoice
    ADD COLUMN kind           text        NOT NULL DEFAULT 'invoice'
        CHECK (kind IN ('invoice', 'credit_note', 'corrected_invoice')),
    ADD COLUMN cutoff_at      timestamptz NULL,  -- until then late readings flow in by themselves
    ADD COLUMN rated_at       timestamptz NULL,  -- when its usage was read
    ADD COLUMN terms_revision integer     NULL,  -- the tenant's own terms that were worked in
    ADD COLUMN due_at         timestamptz NULL,  -- from this instant on it is overdue; invoices of older releases have none
    ADD COLUMN sent_at        timestamptz NULL,  -- when a mail server took it
    ADD COLUMN corrects_id    uuid        NULL,  -- what it takes back, or takes the place of
    ADD COLUMN replaced_by_id uuid        NULL,  -- what stands in its place: the corrected invoice, else the credit note
    ALTER COLUMN tax_rate DROP NOT NULL,         -- several rates: they stand in the document
    DROP CONSTRAINT invoice_status_check,
    ADD CONSTRAINT invoice_status_check CHECK (status IN ('draft', 'review', 'approved', 'issued', 'paid', 'void')),
    DROP CONSTRAINT invoice_check5,
    ADD CONSTRAINT invoice_number_with_issue
        CHECK (CASE WHEN status IN ('draft', 'review', 'approved')
                    THEN num_nonnulls(series, series_number, number, issued_at, due_at, sent_at, replaced_by_id) = 0
                         AND (status = 'draft' OR document IS NOT NULL)
                    ELSE num_nulls(series, series_number, number, issued_at, document) = 0 END),
    ADD CONSTRAINT invoice_corrects_by_kind CHECK ((corrects_id IS NOT NULL) = (kind <> 'invoice')),
    ADD CONSTRAINT invoice_due CHECK (issued_at < due_at AND (due_at IS NULL OR kind <> 'credit_note')),
    ADD CONSTRAINT invoice_sent CHECK (issued_at <= sent_at),
    ADD CONSTRAINT invoice_replaces_another CHECK (invoice_id NOT IN (corrects_id, replaced_by_id)),
    ADD FOREIGN KEY (corrects_id, tenant_id) REFERENCES invoice (invoice_id, tenant_id),
    -- Deferred: it is replaced before there is what replaces it, because their periods overlap.
    ADD FOREIGN KEY (replaced_by_id, tenant_id) REFERENCES invoice (invoice_id, tenant_id)
        DEFERRABLE INITIALLY DEFERRED,
    -- Nothing is invoiced twice, unless it was taken back.
    DROP CONSTRAINT invoice_periods_do_not_overlap,
    ADD CONSTRAINT invoice_periods_do_not_overlap
        EXCLUDE USING gist (tenant_id WITH =, tstzrange(period_start, period_end) WITH &&)
        WHERE (status <> 'void' AND kind <> 'credit_note' AND replaced_by_id IS NULL);

-- Each invoice is taken back once, and replaced once.
CREATE UNIQUE INDEX invoice_corrects ON invoice (corrects_id, kind) WHERE corrects_id IS NOT NULL AND status <> 'void';
-- What waits for somebody.
CREATE INDEX invoice_waiting ON invoice (period_start, tenant_id) WHERE status IN ('draft', 'review', 'approved');
CREATE INDEX invoice_due_at ON invoice (due_at) WHERE status = 'issued';

ALTER TABLE invoice_line RENAME COLUMN tier TO kind;
ALTER TABLE invoice_line
    ALTER COLUMN meter DROP NOT NULL,  -- fees and discounts have none
    ADD COLUMN card     text    NOT NULL DEFAULT '',
    ADD COLUMN tax_code text    NOT NULL DEFAULT 'S',
    ADD COLUMN tax_rate numeric NULL;  -- NULL: the invoice's

-- ---------------------------------------------------------------------------------------------------------------
-- Who did what to an invoice, and when.

CREATE TABLE invoice_event (
    event_id   uuid        PRIMARY KEY,
    tenant_id  uuid        NOT NULL REFERENCES tenant (tenant_id),
    invoice_id uuid        NOT NULL,  -- no reference: the draft of a month that came to nothing is gone
    at         timestamptz NOT NULL,
    actor      text        NOT NULL CHECK (0 < length(actor)),
    action     text        NOT NULL CHECK (action IN ('drafted', 'frozen', 'sent_back', 'approved', 'issued', 'voided',
                                                      'replaced', 'discarded')),
    note       text        NULL
);
CREATE INDEX invoice_event_invoice_id ON invoice_event (invoice_id, at);
SELECT weir_enforce_provider('invoice_event');

-- ---------------------------------------------------------------------------------------------------------------
-- Billing runs: what is to be done for each tenant, taken with FOR UPDATE SKIP LOCKED.

CREATE TABLE billing_run (
    run_id        uuid        PRIMARY KEY,
    period        text        NOT NULL CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),  -- in each tenant's zone
    goal          text        NOT NULL CHECK (goal IN ('review', 'approved', 'issued')),
    origin        text        NOT NULL CHECK (origin IN ('operator', 'automatic')),
    before_cutoff boolean     NOT NULL DEFAULT false,  -- the grace period is not waited for
    asked_by      text        NOT NULL,
    created_at    timestamptz NOT NULL,
    finished_at   timestamptz NULL CHECK (created_at <= finished_at)
);
CREATE UNIQUE INDEX billing_run_automatic ON billing_run (period) WHERE origin = 'automatic';
CREATE INDEX billing_run_created_at ON billing_run (created_at, run_id);
CREATE INDEX billing_run_open ON billing_run (created_at) WHERE finished_at IS NULL;
SELECT weir_enforce_provider('billing_run');

CREATE TABLE billing_run_item (
    run_id     uuid        NOT NULL REFERENCES billing_run (run_id),
    tenant_id  uuid        NOT NULL REFERENCES tenant (tenant_id),
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'nothing', 'failed')),
    invoice_id uuid        NULL,  -- no reference: a draft may be discarded
    detail     text        NULL,  -- why it failed, or why there is nothing to invoice
    attempts   integer     NOT NULL DEFAULT 0 CHECK (0 <= attempts),
    retry_at   timestamptz NULL,  -- a failed one of an automatic run is tried again then
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, tenant_id),
    CHECK ((invoice_id IS NOT NULL) = (state = 'done')),
    CHECK ((detail IS NOT NULL) = (state IN ('nothing', 'failed')))
);
CREATE INDEX billing_run_item_waiting ON billing_run_item (run_id, tenant_id) WHERE state = 'waiting';
CREATE INDEX billing_run_item_tenant_id ON billing_run_item (tenant_id);
SELECT weir_enforce_provider('billing_run_item');

-- ---------------------------------------------------------------------------------------------------------------
-- Late usage: whether what an issued invoice was made of has changed since.

CREATE TABLE invoice_recheck (
    invoice_id   uuid        PRIMARY KEY REFERENCES invoice (invoice_id),
    tenant_id    uuid        NOT NULL REFERENCES tenant (tenant_id),
    checked_at   timestamptz NOT NULL,
    usage_digest text        NOT NULL,  -- of the tenant's sums by day when it was rated again last
    total_now    numeric     NULL,      -- what it would be now; NULL: the same
    failure      text        NULL       -- why it could not be rated again
);
CREATE INDEX invoice_recheck_tenant_id ON invoice_recheck (tenant_id);
SELECT weir_enforce_provider('invoice_recheck');

-- ---------------------------------------------------------------------------------------------------------------
-- What is final.

CREATE OR REPLACE FUNCTION weir_guard_invoice_series() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.last_number = 1 THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.series = OLD.series AND NEW.kind = OLD.kind
       AND NEW.last_number = OLD.last_number + 1 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of series % is refused: numbers go up by one', TG_OP, COALESCE(OLD.series, NEW.series)
        USING ERRCODE = 'restrict_violation';
END
$$;

-- An invoice begins as a draft. It moves between draft, review and approved; only a draft's content may change. Once it
-- adds up it is issued, and then only this happens to it: it becomes paid, or unpaid again when a payment is taken back;
-- it is void, unless it was paid or replaced; once it is sent; once it is replaced.
CREATE OR REPLACE FUNCTION weir_guard_invoice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- NEW without the changes that are allowed. Compared as text, because 1.0 equals 1.00 and is yet another invoice.
    rest         public.invoice%ROWTYPE;
    unissued     CONSTANT text[] := ARRAY['draft', 'review', 'approved'];
    sum_of_lines numeric;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'draft' THEN
            RAISE EXCEPTION 'an invoice begins as a draft, not as %', NEW.status USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;

    IF OLD.status <> ALL (unissued) THEN
        IF TG_OP = 'UPDATE' THEN
            rest := NEW;
            IF (OLD.status, NEW.status) IN (('issued', 'paid'), ('paid', 'issued'))
               OR (OLD.status, NEW.status) = ('issued', 'void')
                  AND NEW.replaced_by_id IS NULL AND NEW.kind <> 'credit_note' THEN
                rest.status := OLD.status;
                rest.settled_at := OLD.settled_at;
            END IF;
            IF OLD.sent_at IS NULL THEN
                rest.sent_at := NULL;
            END IF;
            IF OLD.replaced_by_id IS NULL AND OLD.status <> 'void' AND OLD.kind <> 'credit_note' THEN
                rest.replaced_by_id := NULL;
            END IF;
            IF rest::text = OLD::text THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION '% of invoice % is refused: what is issued is final', TG_OP, OLD.number
            USING ERRCODE = 'restrict_violation';
    END IF;

    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'draft' THEN
            RAISE EXCEPTION 'an invoice in % is not deleted: make it a draft again first', OLD.status
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.status = 'draft' AND OLD.status = 'draft' THEN
        RETURN NEW;
    END IF;
    IF NEW.status <> ALL (unissued || ARRAY['issued']) THEN
        RAISE EXCEPTION 'a draft cannot become %', NEW.status USING ERRCODE = 'restrict_violation';
    END IF;

    -- What somebody has looked at is what is issued.
    IF OLD.status <> 'draft' THEN
        rest := NEW;
        rest.status := OLD.status;
        IF NEW.status = 'issued' THEN
            rest.series := NULL;
            rest.series_number := NULL;
            rest.number := NULL;
            rest.issued_at := NULL;
            rest.due_at := NULL;
            rest.document := OLD.document;  -- it takes up the number
        END IF;
        IF rest::text <> OLD::text THEN
            RAISE EXCEPTION 'an invoice in % is changed by making it a draft again', OLD.status
                USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    IF NEW.status = 'draft' THEN
        RETURN NEW;
    END IF;
    SELECT sum(l.amount) INTO sum_of_lines FROM public.invoice_line l WHERE l.invoice_id = NEW.invoice_id;
    IF sum_of_lines IS DISTINCT FROM NEW.subtotal THEN
        RAISE EXCEPTION 'invoice % does not add up: its lines are %, its subtotal is %',
            COALESCE(NEW.number, NEW.invoice_id::text), sum_of_lines, NEW.subtotal USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status = 'issued' AND NOT EXISTS (
        SELECT FROM public.invoice_series s
        WHERE s.series = NEW.series AND s.last_number = NEW.series_number
          AND (s.kind = 'credit_note') = (NEW.kind = 'credit_note')) THEN
        RAISE EXCEPTION 'number % was not taken from a series for a %', NEW.number, NEW.kind
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

-- At the end of the transaction, whatever was replaced was taken back to the last coin, and a credit note takes back
-- nothing else.
CREATE FUNCTION weir_guard_invoice_correction() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.replaced_by_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.invoice n
        WHERE n.corrects_id = NEW.invoice_id AND n.kind = 'credit_note' AND n.number IS NOT NULL
          AND n.currency = NEW.currency AND n.subtotal = NEW.subtotal AND n.total = NEW.total) THEN
        RAISE EXCEPTION 'invoice % is replaced without a credit note over all of it', NEW.number
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.kind <> 'invoice' AND NEW.number IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.invoice o
        WHERE o.invoice_id = NEW.corrects_id AND o.kind <> 'credit_note' AND o.replaced_by_id IS NOT NULL) THEN
        RAISE EXCEPTION '% corrects an invoice that was not replaced', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER weir_guard_correction AFTER INSERT OR UPDATE ON invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.replaced_by_id IS NOT NULL OR NEW.kind <> 'invoice')
    EXECUTE FUNCTION weir_guard_invoice_correction();
ALTER TABLE invoice ENABLE ALWAYS TRIGGER weir_guard_correction;

-- An invoice was sent when a mail server took the mail about it.
CREATE FUNCTION weir_note_sent_invoice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.invoice i SET sent_at = greatest(NEW.sent_at, i.issued_at)
    WHERE i.number = NEW.about ->> 'number' AND i.sent_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER weir_note_sent AFTER UPDATE OF sent_at ON mail_outbox
    FOR EACH ROW WHEN (NEW.kind = 'invoice' AND OLD.sent_at IS NULL AND NEW.sent_at IS NOT NULL)
    EXECUTE FUNCTION weir_note_sent_invoice();

-- What happened is only ever added.
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON invoice_event
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON invoice_event
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE invoice_event ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE invoice_event ENABLE ALWAYS TRIGGER weir_guard_all;
