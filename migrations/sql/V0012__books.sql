-- The books: a double-entry ledger in which every transaction adds up to zero in each currency, and what is kept beside it:
-- payments, tax tables, billing accounts, exchange rates, dunning letters. What was recorded is final; a mistake is mended
-- by a counter-entry.

-- ---------------------------------------------------------------------------------------------------------------
-- The ledger. Debit is positive, credit is negative.

CREATE TABLE ledger_transaction (
    transaction_id uuid        PRIMARY KEY,
    -- Usage that nobody was assigned yet is never booked.
    tenant_id      uuid        NOT NULL REFERENCES tenant (tenant_id)
                               CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000'),
    kind           text        NOT NULL CHECK (kind IN ('invoice', 'credit_note', 'void', 'payment', 'reversal', 'refund',
                                                        'allocation', 'release', 'top_up', 'hold', 'unhold', 'draw',
                                                        'dunning_fee', 'write_off')),
    -- Says what is booked; the same thing is never booked twice.
    key            text        NOT NULL UNIQUE CHECK (length(key) BETWEEN 1 AND 200),
    at             timestamptz NOT NULL,
    -- How many entries it has: none can be added afterwards.
    entries        integer     NOT NULL CHECK (2 <= entries),
    about          text        NOT NULL CHECK (length(about) <= 400),  -- for people
    UNIQUE (transaction_id, tenant_id)
);
CREATE INDEX ledger_transaction_tenant_id ON ledger_transaction (tenant_id, at);
SELECT weir_enforce_tenant_read('ledger_transaction');

CREATE TABLE ledger_entry (
    transaction_id uuid    NOT NULL,
    tenant_id      uuid    NOT NULL,
    position       integer NOT NULL CHECK (0 < position),
    -- Of the tenant: receivable (what it owes), credit (paid, not used yet), wallet (paid in advance) and held (of the wallet,
    -- reserved). Of the provider: revenue, tax (to be paid to the tax office), cash, written_off.
    account        text    NOT NULL CHECK (account IN ('receivable', 'credit', 'wallet', 'held',
                                                       'revenue', 'tax', 'cash', 'written_off')),
    -- The tax's name, or by which method cash came.
    detail         text    NOT NULL CHECK ((detail <> '') = (account IN ('tax', 'cash')) AND length(detail) <= 64),
    -- What is owed, which payment or credit note is used, for which instance something is held.
    item_id        uuid    NULL CHECK ((item_id IS NOT NULL) = (account IN ('receivable', 'credit', 'held'))),
    currency       text    NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount         numeric NOT NULL CHECK (amount <> 0 AND amount <> 'NaN' AND abs(amount) < 1e28),
    PRIMARY KEY (transaction_id, position),
    -- With the tenant, so that an entry can never belong to another tenant than its transaction.
    FOREIGN KEY (transaction_id, tenant_id) REFERENCES ledger_transaction (transaction_id, tenant_id)
);
CREATE INDEX ledger_entry_tenant_id ON ledger_entry (tenant_id, account, currency);
CREATE INDEX ledger_entry_item_id ON ledger_entry (item_id, account) WHERE item_id IS NOT NULL;
SELECT weir_enforce_tenant_read('ledger_entry');

-- At the end of the transaction it adds up. What cannot be seen does not.
CREATE FUNCTION weir_guard_ledger() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    expected integer;
    counted  integer;
    odd      record;
BEGIN
    SELECT t.entries INTO expected FROM public.ledger_transaction t WHERE t.transaction_id = NEW.transaction_id;
    SELECT count(*) INTO counted FROM public.ledger_entry e WHERE e.transaction_id = NEW.transaction_id;
    IF expected IS DISTINCT FROM counted THEN
        RAISE EXCEPTION 'ledger transaction % says that it has % entries and has %', NEW.transaction_id, expected, counted
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT e.currency, sum(e.amount) AS amount INTO odd
    FROM public.ledger_entry e
    WHERE e.transaction_id = NEW.transaction_id
    GROUP BY e.currency
    HAVING sum(e.amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: its entries in % add up to %',
            NEW.transaction_id, odd.currency, odd.amount USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER weir_guard_balance AFTER INSERT ON ledger_transaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION weir_guard_ledger();
CREATE CONSTRAINT TRIGGER weir_guard_balance AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION weir_guard_ledger();
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON ledger_transaction
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE ledger_transaction ENABLE ALWAYS TRIGGER weir_guard_balance;
ALTER TABLE ledger_transaction ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE ledger_transaction ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER weir_guard_balance;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER weir_guard_all;

-- What each account holds now: always a sum, so that it cannot drift from what was booked. As whoever asks may see it.
CREATE VIEW ledger_balance WITH (security_invoker = true) AS
    SELECT e.tenant_id, e.account, e.detail, e.currency, sum(e.amount) AS amount
    FROM ledger_entry e
    GROUP BY e.tenant_id, e.account, e.detail, e.currency;
GRANT SELECT ON ledger_balance TO weir_app;

-- What is still owed or still to be used, item by item.
CREATE VIEW ledger_open_item WITH (security_invoker = true) AS
    SELECT e.tenant_id, e.account, e.currency, e.item_id, sum(e.amount) AS amount
    FROM ledger_entry e
    WHERE e.item_id IS NOT NULL
    GROUP BY e.tenant_id, e.account, e.currency, e.item_id
    HAVING sum(e.amount) <> 0;
GRANT SELECT ON ledger_open_item TO weir_app;

-- ---------------------------------------------------------------------------------------------------------------
-- Payments: money that came (payment, top_up) or was given back (refund).

CREATE TABLE payment (
    payment_id  uuid        PRIMARY KEY,
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id)
                            CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000'),
    kind        text        NOT NULL CHECK (kind IN ('payment', 'top_up', 'refund')),
    method      text        NOT NULL CHECK (method ~ '^[a-z0-9][a-z0-9_-]{0,31}$'),
    -- The bank's or the payment service's name for it. The same money is never recorded twice.
    reference   text        NOT NULL CHECK (length(reference) BETWEEN 1 AND 140 AND reference !~ '[[:cntrl:]]'),
    amount      numeric     NOT NULL CHECK (0 < amount AND amount < 1e28),
    currency    text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    paid_at     timestamptz NOT NULL CHECK (paid_at <= recorded_at),
    recorded_at timestamptz NOT NULL,
    recorded_by text        NOT NULL CHECK (length(recorded_by) BETWEEN 1 AND 200),
    invoice_id  uuid        NULL REFERENCES invoice (invoice_id),  -- which invoice was named with it
    UNIQUE (method, reference),
    UNIQUE (payment_id, tenant_id)
);
CREATE INDEX payment_tenant_id ON payment (tenant_id, recorded_at);
CREATE INDEX payment_recorded_at ON payment (recorded_at, payment_id);
SELECT weir_enforce_tenant_read('payment');

-- It bounced, or was recorded by mistake.
CREATE TABLE payment_reversal (
    payment_id  uuid        PRIMARY KEY,
    tenant_id   uuid        NOT NULL,
    reason      text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 400),
    reversed_at timestamptz NOT NULL,
    reversed_by text        NOT NULL CHECK (length(reversed_by) BETWEEN 1 AND 200),
    FOREIGN KEY (payment_id, tenant_id) REFERENCES payment (payment_id, tenant_id)
);
CREATE INDEX payment_reversal_tenant_id ON payment_reversal (tenant_id);
SELECT weir_enforce_tenant_read('payment_reversal');

CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON payment
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON payment
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON payment_reversal
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON payment_reversal
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE payment ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE payment ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE payment_reversal ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE payment_reversal ENABLE ALWAYS TRIGGER weir_guard_all;

-- ---------------------------------------------------------------------------------------------------------------
-- How a tenant is billed. No row: taxable, 14 days, postpaid.

CREATE TABLE billing_account (
    tenant_id     uuid        PRIMARY KEY REFERENCES tenant (tenant_id),
    country       text        NULL CHECK (country ~ '^[A-Z]{2}$'),
    tax_treatment text        NOT NULL DEFAULT 'taxable'
                              CHECK (tax_treatment IN ('taxable', 'reverse_charge', 'exempt', 'outside_scope')),
    tax_reason    text        NULL CHECK (length(tax_reason) BETWEEN 1 AND 400),
    currency      text        NULL CHECK (currency ~ '^[A-Z]{3}$'),  -- NULL: the plan's
    payment_days  integer     NOT NULL DEFAULT 14 CHECK (0 <= payment_days AND payment_days <= 365),
    mode          text        NOT NULL DEFAULT 'postpaid' CHECK (mode IN ('postpaid', 'prepaid')),
    starts_on     date        NULL,
    -- Prepaid: at or below this much left, the tenant is warned.
    low_balance   numeric     NULL CHECK (0 <= low_balance),
    revision      bigint      NOT NULL DEFAULT 1 CHECK (0 < revision),
    changed_at    timestamptz NOT NULL,
    CHECK (tax_treatment NOT IN ('exempt', 'outside_scope') OR tax_reason IS NOT NULL)
);
SELECT weir_enforce_tenant_read('billing_account');

-- ---------------------------------------------------------------------------------------------------------------
-- Tax tables and exchange rates: every text and every rate that was ever in force.

CREATE TABLE tax_table (
    revision   integer     PRIMARY KEY CHECK (0 < revision),
    content    text        NOT NULL CHECK (octet_length(content) BETWEEN 1 AND 1048576),
    applied_at timestamptz NOT NULL
);
SELECT weir_enforce_provider('tax_table');

CREATE TABLE exchange_rate (
    from_currency text        NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
    to_currency   text        NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$' AND to_currency <> from_currency),
    valid_from    date        NOT NULL,
    rate          numeric     NOT NULL CHECK (0 < rate AND scale(rate) <= 12 AND rate < 1e10),
    source        text        NOT NULL CHECK (length(source) BETWEEN 1 AND 120),
    loaded_at     timestamptz NOT NULL,
    PRIMARY KEY (from_currency, to_currency, valid_from)
);
SELECT weir_enforce_provider('exchange_rate');

CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON tax_table
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON tax_table
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard BEFORE UPDATE OR DELETE ON exchange_rate
    FOR EACH ROW EXECUTE FUNCTION weir_refuse_change();
CREATE TRIGGER weir_guard_all BEFORE TRUNCATE ON exchange_rate
    FOR EACH STATEMENT EXECUTE FUNCTION weir_refuse_change();
ALTER TABLE tax_table ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE tax_table ENABLE ALWAYS TRIGGER weir_guard_all;
ALTER TABLE exchange_rate ENABLE ALWAYS TRIGGER weir_guard;
ALTER TABLE exchange_rate ENABLE ALWAYS TRIGGER weir_guard_all;

-- ---------------------------------------------------------------------------------------------------------------
-- Dunning: which letter went out about which invoice, and which invoices are disputed.

CREATE TABLE dunning_letter (
    invoice_id uuid        NOT NULL,
    tenant_id  uuid        NOT NULL,
    level      integer     NOT NULL CHECK (0 < level),
    letter_id  uuid        NOT NULL UNIQUE,
    open       numeric     NOT NULL CHECK (0 < open),  -- of the invoice, then
    fee        numeric     NOT NULL CHECK (0 <= fee),
    ordered_at timestamptz NOT NULL,
    PRIMARY KEY (invoice_id, level),
    FOREIGN KEY (invoice_id, tenant_id) REFERENCES invoice (invoice_id, tenant_id)
);
CREATE INDEX dunning_letter_tenant_id ON dunning_letter (tenant_id, ordered_at);
SELECT weir_enforce_tenant_read('dunning_letter');

CREATE TABLE dunning_hold (
    invoice_id uuid        PRIMARY KEY,
    tenant_id  uuid        NOT NULL,
    reason     text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 400),
    held_at    timestamptz NOT NULL,
    held_by    text        NOT NULL CHECK (length(held_by) BETWEEN 1 AND 200),
    FOREIGN KEY (invoice_id, tenant_id) REFERENCES invoice (invoice_id, tenant_id)
);
CREATE INDEX dunning_hold_tenant_id ON dunning_hold (tenant_id);
SELECT weir_enforce_tenant_read('dunning_hold');

-- Prepaid: since when a wallet is low or empty; the row goes when it is filled up.
CREATE TABLE wallet_warning (
    tenant_id  uuid        NOT NULL REFERENCES tenant (tenant_id),
    kind       text        NOT NULL CHECK (kind IN ('low', 'empty')),
    since      timestamptz NOT NULL,
    stopped_at timestamptz NULL,
    PRIMARY KEY (tenant_id, kind)
);
SELECT weir_enforce_tenant_read('wallet_warning');

ALTER TABLE mail_outbox
    DROP CONSTRAINT mail_outbox_kind_check,
    ADD CONSTRAINT mail_outbox_kind_check
        CHECK (kind IN ('invoice', 'budget', 'alert', 'test', 'dunning', 'wallet'));

-- ---------------------------------------------------------------------------------------------------------------
-- What was issued before there were books is booked now; what was paid, by a payment that nobody recorded.

CREATE TEMPORARY TABLE booked ON COMMIT DROP AS
    SELECT gen_random_uuid() AS booking_id, gen_random_uuid() AS paying_id, gen_random_uuid() AS using_id,
           gen_random_uuid() AS payment_id, i.invoice_id, i.tenant_id, i.number, i.status, i.currency, i.subtotal,
           i.tax_amount, i.total, i.issued_at, i.settled_at,
           left(COALESCE(NULLIF(i.document::json #>> '{tax,name}', ''),
                         NULLIF(i.document::json #>> '{taxes,0,name}', ''), 'tax'), 64) AS tax_name
    FROM invoice i
    WHERE i.number IS NOT NULL AND i.status <> 'void' AND 0 < i.total;

INSERT INTO ledger_transaction (transaction_id, tenant_id, kind, key, at, entries, about)
SELECT booking_id, tenant_id, 'invoice', 'invoice/' || invoice_id, issued_at,
       1 + (subtotal <> 0)::integer + (tax_amount <> 0)::integer, number
FROM booked;
INSERT INTO ledger_entry (transaction_id, tenant_id, position, account, detail, item_id, currency, amount)
SELECT booking_id, tenant_id, 1, 'receivable', '', invoice_id, currency, total FROM booked
UNION ALL SELECT booking_id, tenant_id, 2, 'revenue', '', NULL, currency, -subtotal FROM booked WHERE subtotal <> 0
UNION ALL SELECT booking_id, tenant_id, 3, 'tax', tax_name, NULL, currency, -tax_amount FROM booked WHERE tax_amount <> 0;

INSERT INTO payment (payment_id, tenant_id, kind, method, reference, amount, currency, paid_at, recorded_at, recorded_by,
                     invoice_id)
SELECT payment_id, tenant_id, 'payment', 'unrecorded', number, total, currency, settled_at, settled_at, 'migration',
       invoice_id
FROM booked WHERE status = 'paid';
INSERT INTO ledger_transaction (transaction_id, tenant_id, kind, key, at, entries, about)
SELECT paying_id, tenant_id, 'payment', 'payment/' || payment_id, settled_at, 2, 'unrecorded ' || number
FROM booked WHERE status = 'paid'
UNION ALL
SELECT using_id, tenant_id, 'allocation', 'allocation/' || using_id, settled_at, 2, number
FROM booked WHERE status = 'paid';
INSERT INTO ledger_entry (transaction_id, tenant_id, position, account, detail, item_id, currency, amount)
SELECT paying_id, tenant_id, 1, 'cash', 'unrecorded', NULL, currency, total FROM booked WHERE status = 'paid'
UNION ALL SELECT paying_id, tenant_id, 2, 'credit', '', payment_id, currency, -total FROM booked WHERE status = 'paid'
UNION ALL SELECT using_id, tenant_id, 1, 'credit', '', payment_id, currency, total FROM booked WHERE status = 'paid'
UNION ALL SELECT using_id, tenant_id, 2, 'receivable', '', invoice_id, currency, -total FROM booked WHERE status = 'paid';
