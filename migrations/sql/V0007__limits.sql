-- Limits: quotas on what is held at once, budgets on what is spent in a month, and the mail that goes out about it.

-- ---------------------------------------------------------------------------------------------------------------
-- Quotas. No row, or NULL: unlimited.

CREATE TABLE quota (
    tenant_id  uuid        PRIMARY KEY REFERENCES tenant (tenant_id),
    instances  bigint      NULL CHECK (0 <= instances),
    vcpus      bigint      NULL CHECK (0 <= vcpus),
    memory_kib bigint      NULL CHECK (0 <= memory_kib),
    revision   bigint      NOT NULL DEFAULT 1 CHECK (0 < revision),
    changed_at timestamptz NOT NULL
);
SELECT weir_enforce_tenant_read('quota');

-- What each tenant holds: one row for each instance that exists, switched off or not, and for each that is being made.
CREATE TABLE instance_hold (
    instance_id uuid        PRIMARY KEY,
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id),
    -- 0: an instance of somebody else's making whose size is not known yet.
    vcpus       bigint      NOT NULL CHECK (0 <= vcpus),
    memory_kib  bigint      NOT NULL CHECK (0 <= memory_kib),
    is_pending  boolean     NOT NULL,  -- admitted, not made yet
    changed_at  timestamptz NOT NULL
);
CREATE INDEX instance_hold_tenant_id ON instance_hold (tenant_id);
SELECT weir_enforce_tenant_read('instance_hold');

-- ---------------------------------------------------------------------------------------------------------------
-- The running month of each tenant, rated anew every minute: what the invoice would be now.

CREATE TABLE draft (
    tenant_id    uuid        NOT NULL REFERENCES tenant (tenant_id),
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL CHECK (period_start < period_end),
    computed_at  timestamptz NOT NULL,
    currency     text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal     numeric     NOT NULL,
    total        numeric     NOT NULL,
    document     text        NOT NULL CHECK (document::json IS NOT NULL),
    PRIMARY KEY (tenant_id, period_start)
);
CREATE INDEX draft_period_end ON draft (period_end);
SELECT weir_enforce_tenant_read('draft');

-- ---------------------------------------------------------------------------------------------------------------
-- Budgets: money, with tax, that a tenant expects to spend in a month. Tenants set their own.

-- A budget that was removed stays without an amount, so that revisions never come back: a crossing and its mail are
-- known by them.
CREATE TABLE budget (
    tenant_id  uuid        PRIMARY KEY REFERENCES tenant (tenant_id),
    amount     numeric     NULL CHECK (0 < amount),
    currency   text        NULL CHECK (currency ~ '^[A-Z]{3}$'),
    revision   bigint      NOT NULL DEFAULT 1 CHECK (0 < revision),
    changed_at timestamptz NOT NULL,
    CHECK (num_nulls(amount, currency) IN (0, 2))
);
SELECT weir_enforce_tenant('budget');

-- Each threshold is crossed once in a month; a budget that is changed begins anew.
CREATE TABLE budget_crossing (
    tenant_id         uuid        NOT NULL REFERENCES tenant (tenant_id),
    period_start      timestamptz NOT NULL,
    budget_revision   bigint      NOT NULL,
    threshold_percent integer     NOT NULL CHECK (0 < threshold_percent),
    amount            numeric     NOT NULL,  -- the budget then
    spent             numeric     NOT NULL,
    currency          text        NOT NULL,
    crossed_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, period_start, budget_revision, threshold_percent)
);
SELECT weir_enforce_tenant_read('budget_crossing');

-- ---------------------------------------------------------------------------------------------------------------
-- Mail: what is to be sent is committed together with its reason, and delivered afterwards, until the server takes it.

CREATE TABLE mail_outbox (
    mail_id         uuid        PRIMARY KEY,
    kind            text        NOT NULL CHECK (kind IN ('invoice', 'budget', 'test')),
    -- Says what the mail is about; the same thing is never announced twice.
    subject_key     text        NOT NULL UNIQUE,
    tenant_id       uuid        NOT NULL REFERENCES tenant (tenant_id),  -- for the operator alone: unassigned
    about           jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0 CHECK (0 <= attempts),
    next_attempt_at timestamptz NOT NULL,
    leased_until    timestamptz NULL,  -- somebody is delivering it; after that it is anybody's again
    last_error      text        NULL,  -- for people
    recipient       text        NULL,  -- to whom it went
    sent_at         timestamptz NULL,
    refused_at      timestamptz NULL,  -- the server will never take it; an operator can order another attempt
    CHECK (num_nonnulls(sent_at, refused_at) <= 1)
);
CREATE INDEX mail_outbox_due ON mail_outbox (next_attempt_at) WHERE sent_at IS NULL AND refused_at IS NULL;
CREATE INDEX mail_outbox_created_at ON mail_outbox (created_at);
SELECT weir_enforce_provider('mail_outbox');
