-- Books, further: a tenant's terms are final like everything else that was applied; from when on a tenant pays in which currency;
-- months that were closed with nothing and are looked at again; and what V0012 booked wrongly is put right.

-- ---------------------------------------------------------------------------------------------------------------
-- Every text of terms that was ever applied stays as it was.

CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON tenant_terms
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON tenant_terms
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE tenant_terms ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE tenant_terms ENABLE ALWAYS TRIGGER weir_guard_all;

-- ---------------------------------------------------------------------------------------------------------------
-- In which currency a tenant pays, and from which day on. Of several words the last one holds whose day has come.

CREATE TABLE billing_currency (
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id),
    revision    integer     NOT NULL CHECK (0 < revision),
    valid_from  date        NOT NULL,  -- in the tenant's zone
    currency    text        NULL CHECK (currency ~ '^[A-Z]{3}$'),  -- NULL: the plan's
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, revision)
);
SELECT weir_enforce_tenant_read('billing_currency');
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON billing_currency
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON billing_currency
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE billing_currency ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE billing_currency ENABLE ALWAYS TRIGGER weir_guard_all;
INSERT INTO billing_currency (tenant_id, revision, valid_from, currency, recorded_at)
SELECT tenant_id, 1, '0001-01-01', currency, changed_at
FROM billing_account
WHERE currency IS NOT NULL;

-- ---------------------------------------------------------------------------------------------------------------
-- Periods that were closed without an invoice, because nothing was used that has a price, and what they would come to now.

CREATE TABLE empty_period_recheck (
    tenant_id    uuid        NOT NULL REFERENCES tenant (tenant_id),
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL CHECK (period_start < period_end),
    checked_at   timestamptz NOT NULL,
    usage_digest text        NOT NULL,  -- of the tenant's sums by day when it was rated last
    currency     text        NULL CHECK (currency ~ '^[A-Z]{3}$'),
    total_now    numeric     NULL,      -- what it would be now; NULL: still nothing
    failure      text        NULL,      -- why it could not be rated
    PRIMARY KEY (tenant_id, period_start, period_end),
    CHECK ((currency IS NULL) = (total_now IS NULL))
);
SELECT weir_enforce_provider('empty_period_recheck');
-- Those that came to nothing, by month.
CREATE INDEX billing_run_item_nothing ON billing_run_item (tenant_id) WHERE state = 'nothing';

-- ---------------------------------------------------------------------------------------------------------------
-- V0012 took credit notes for invoices, so tenants seemed to owe what was given back to them, and left out what is below zero.
-- What was booked wrongly is taken back by counter-entries and booked as what it is.

CREATE TEMPORARY TABLE mistaken ON COMMIT DROP AS
    SELECT gen_random_uuid() AS undo_id, gen_random_uuid() AS booking_id, i.invoice_id, i.tenant_id, i.number, i.kind,
           i.currency, i.subtotal, i.tax_amount, i.total, i.issued_at,
           CASE i.kind WHEN 'credit_note' THEN 'credit_note' ELSE 'invoice' END AS booked_as,
           CASE i.kind WHEN 'credit_note' THEN 1 ELSE -1 END AS sign,  -- of what was sold
           left(COALESCE(NULLIF(i.document::json #>> '{tax,name}', ''),
                         NULLIF(i.document::json #>> '{taxes,0,name}', ''), 'tax'), 64) AS tax_name,
           wrong.transaction_id AS wrong_id
    FROM invoice i
    LEFT JOIN ledger_transaction wrong ON wrong.key = 'invoice/' || i.invoice_id
    WHERE i.number IS NOT NULL AND i.status <> 'void'
      AND num_nonnulls(NULLIF(i.subtotal, 0), NULLIF(i.tax_amount, 0)) > 0
      AND CASE WHEN i.kind = 'credit_note' THEN wrong.transaction_id IS NOT NULL
               ELSE i.total <= 0 AND wrong.transaction_id IS NULL END
      AND NOT EXISTS (SELECT FROM ledger_transaction t WHERE t.key = 'credit_note/' || i.invoice_id);

INSERT INTO ledger_transaction (transaction_id, tenant_id, kind, key, at, entries, about)
SELECT m.undo_id, m.tenant_id, 'void', 'void/' || m.invoice_id, now(), t.entries, m.number
FROM mistaken m
JOIN ledger_transaction t ON t.transaction_id = m.wrong_id
UNION ALL
SELECT booking_id, tenant_id, booked_as, booked_as || '/' || invoice_id, now(),
       num_nonnulls(NULLIF(total, 0), NULLIF(subtotal, 0), NULLIF(tax_amount, 0)), number
FROM mistaken;
INSERT INTO ledger_entry (transaction_id, tenant_id, position, account, detail, item_id, currency, amount)
SELECT m.undo_id, m.tenant_id, e.position, e.account, e.detail, e.item_id, e.currency, -e.amount
FROM mistaken m
JOIN ledger_entry e ON e.transaction_id = m.wrong_id
UNION ALL
SELECT booking_id, tenant_id, 1, CASE WHEN sign * total > 0 THEN 'credit' ELSE 'receivable' END, '', invoice_id, currency,
       -sign * total
FROM mistaken WHERE total <> 0
UNION ALL SELECT booking_id, tenant_id, 2, 'revenue', '', NULL, currency, sign * subtotal FROM mistaken WHERE subtotal <> 0
UNION ALL SELECT booking_id, tenant_id, 3, 'tax', tax_name, NULL, currency, sign * tax_amount FROM mistaken WHERE tax_amount <> 0;

-- What was given back is used for what is open: for the invoice that it corrects first, then for the oldest.
DO $$
DECLARE
    given      record;
    owed       record;
    remaining  numeric;
    part       numeric;
    booking_id uuid;
BEGIN
    FOR given IN
        SELECT o.tenant_id, o.currency, o.item_id, -o.amount AS amount, i.corrects_id
        FROM ledger_open_item o
        JOIN invoice i ON i.invoice_id = o.item_id
        WHERE o.account = 'credit' AND o.amount < 0 AND o.tenant_id IN (SELECT m.tenant_id FROM mistaken m)
        ORDER BY i.issued_at, o.item_id
    LOOP
        remaining := given.amount;
        FOR owed IN
            SELECT o.item_id, o.amount, i.number
            FROM ledger_open_item o
            JOIN invoice i ON i.invoice_id = o.item_id
            WHERE o.account = 'receivable' AND 0 < o.amount AND o.tenant_id = given.tenant_id AND o.currency = given.currency
            ORDER BY i.invoice_id IS NOT DISTINCT FROM given.corrects_id DESC, i.issued_at, i.series_number, o.item_id
        LOOP
            part := least(remaining, owed.amount);
            EXIT WHEN part <= 0;
            remaining := remaining - part;
            booking_id := gen_random_uuid();
            INSERT INTO ledger_transaction (transaction_id, tenant_id, kind, key, at, entries, about)
            VALUES (booking_id, given.tenant_id, 'allocation', 'allocation/' || booking_id, now(), 2, owed.number);
            INSERT INTO ledger_entry (transaction_id, tenant_id, position, account, detail, item_id, currency, amount)
            VALUES (booking_id, given.tenant_id, 1, 'receivable', '', owed.item_id, given.currency, -part),
                   (booking_id, given.tenant_id, 2, 'credit', '', given.item_id, given.currency, part);
        END LOOP;
    END LOOP;
END
$$;

-- An invoice is paid exactly while nothing is owed on it; V0012 left out those over nothing and below zero.
UPDATE invoice i
SET status = 'paid', settled_at = greatest(now(), i.issued_at)
WHERE i.status = 'issued' AND i.kind <> 'credit_note'
  AND NOT EXISTS (SELECT FROM ledger_open_item o WHERE o.item_id = i.invoice_id AND o.account = 'receivable');
