-- Limits on what is consumed in a month and what is done when they are reached; events, and the endpoints that are told of
-- them; keys by which a change over the API is made once.

-- ---------------------------------------------------------------------------------------------------------------
-- Events: written in the transaction of what happened, so that neither is ever there without the other.

CREATE TABLE webhook_event (
    event_id   uuid        PRIMARY KEY,
    type       text        NOT NULL CHECK (type ~ '^[a-z_]+\.[a-z_]+$'),
    tenant_id  uuid        NOT NULL REFERENCES tenant (tenant_id),  -- whom it concerns; the provider alone: unassigned
    payload    text        NOT NULL CHECK (payload::json IS NOT NULL),  -- what is signed and sent, to the byte
    created_at timestamptz NOT NULL
);
CREATE INDEX webhook_event_created_at ON webhook_event (created_at);
CREATE INDEX webhook_event_tenant_id ON webhook_event (tenant_id, created_at);
SELECT weir_enforce_tenant_read('webhook_event');

-- Where events are sent to. An endpoint that was removed keeps its row: an event that is written at this moment refers to it.
CREATE TABLE webhook_endpoint (
    endpoint_id      uuid        PRIMARY KEY,
    tenant_id        uuid        NOT NULL REFERENCES tenant (tenant_id),  -- whose; the provider's own: unassigned
    url              text        NOT NULL CHECK (length(url) BETWEEN 8 AND 2000),
    description      text        NOT NULL CHECK (length(description) <= 200),
    types            text[]      NULL CHECK (cardinality(types) BETWEEN 1 AND 32),  -- NULL: all
    -- Both are needed as they are: HMAC has no public half. A removed endpoint keeps neither.
    secret           text        NULL,
    former_secret    text        NULL,
    former_until     timestamptz NULL,
    revision         bigint      NOT NULL DEFAULT 1 CHECK (0 < revision),
    created_at       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    disabled_at      timestamptz NULL,
    disabled_because text        NULL,
    removed_at       timestamptz NULL,
    failing_since    timestamptz NULL,  -- nothing was taken by it since then
    rests_until      timestamptz NULL,  -- after a failure it is left alone for a while, whatever waits for it
    CHECK ((secret IS NULL) = (removed_at IS NOT NULL)),
    CHECK ((former_secret IS NULL) = (former_until IS NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_because IS NULL))
);
CREATE INDEX webhook_endpoint_tenant_id ON webhook_endpoint (tenant_id) WHERE removed_at IS NULL;
SELECT weir_enforce_tenant('webhook_endpoint');

-- One event on its way to one endpoint.
CREATE TABLE webhook_delivery (
    delivery_id     uuid        PRIMARY KEY,
    event_id        uuid        NOT NULL REFERENCES webhook_event (event_id) ON DELETE CASCADE,
    endpoint_id     uuid        NOT NULL REFERENCES webhook_endpoint (endpoint_id),
    tenant_id       uuid        NOT NULL REFERENCES tenant (tenant_id),  -- whose endpoint it is
    created_at      timestamptz NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0 CHECK (0 <= attempts),
    next_attempt_at timestamptz NOT NULL,
    leased_until    timestamptz NULL,  -- somebody is delivering it; after that it is anybody's again
    delivered_at    timestamptz NULL,
    failed_at       timestamptz NULL,  -- given up; a replay is another delivery
    last_status     integer     NULL CHECK (last_status BETWEEN 100 AND 599),
    last_answer     text        NULL CHECK (octet_length(last_answer) <= 4096),  -- the first KiB, for people
    last_error      text        NULL,
    CHECK (num_nonnulls(delivered_at, failed_at) <= 1)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (next_attempt_at)
    WHERE delivered_at IS NULL AND failed_at IS NULL;
CREATE INDEX webhook_delivery_endpoint_id ON webhook_delivery (endpoint_id, created_at);
CREATE INDEX webhook_delivery_event_id ON webhook_delivery (event_id);
SELECT weir_enforce_tenant('webhook_delivery');

-- ---------------------------------------------------------------------------------------------------------------
-- Keys by which a request that makes something is made once, however often it is sent.

CREATE TABLE idempotency_key (
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id),  -- whose key; the provider's: unassigned
    user_id     uuid        NOT NULL,  -- each has keys of their own
    key         text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    route       text        NOT NULL,
    fingerprint bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),  -- SHA-256 of path, query and body
    thing_id    uuid        NOT NULL,  -- the id of what is made, chosen before anything is
    claimed_by  uuid        NOT NULL,  -- who works on it
    claimed_at  timestamptz NOT NULL,  -- when that one was last heard of
    created_at  timestamptz NOT NULL,
    status      integer     NULL CHECK (status BETWEEN 200 AND 599),  -- NULL: it was not answered yet, or whoever worked on it died
    location    text        NULL,
    etag        text        NULL,
    body        bytea       NULL,
    answered_at timestamptz NULL,
    PRIMARY KEY (tenant_id, user_id, key),
    CHECK ((status IS NULL) = (answered_at IS NULL))
);
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);
SELECT weir_enforce_tenant('idempotency_key');

-- ---------------------------------------------------------------------------------------------------------------
-- Allowances: so much of a meter, or of money, in a calendar month of the tenant, with thresholds on what was consumed and on
-- what will have been by its end. A tenant sets its own, which notify; those of the provider may act, and are not the tenant's
-- to change.

-- One that was removed keeps its row, so that revisions never come back: crossings and mail are known by them.
CREATE TABLE allowance (
    tenant_id  uuid        NOT NULL REFERENCES tenant (tenant_id),
    name       text        NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    owner      text        NOT NULL CHECK (owner IN ('tenant', 'provider')),
    meter      text        NULL,  -- NULL: money
    quantity   numeric     NULL CHECK (0 < quantity),  -- in the meter's priced unit
    amount     numeric     NULL CHECK (0 < amount),  -- with tax
    currency   text        NULL CHECK (currency ~ '^[A-Z]{3}$'),
    thresholds text[]      NOT NULL CHECK (cardinality(thresholds) BETWEEN 1 AND 16),  -- such as 'actual/100/stop'
    revision   bigint      NOT NULL DEFAULT 1 CHECK (0 < revision),
    changed_at timestamptz NOT NULL,
    removed_at timestamptz NULL,
    PRIMARY KEY (tenant_id, name),
    CHECK (num_nulls(meter, quantity) IN (0, 2) AND num_nulls(amount, currency) IN (0, 2)),
    CHECK (num_nonnulls(meter, amount) = 1),
    CHECK (owner = 'provider' OR array_to_string(thresholds, ' ') !~ '/(suspend|stop)')
);
SELECT weir_enforce_tenant_read('allowance');
CREATE POLICY weir_own_rows ON allowance TO weir_app
    USING (owner = 'tenant' AND tenant_id = (SELECT weir_tenant_id()))
    WITH CHECK (owner = 'tenant' AND tenant_id = (SELECT weir_tenant_id()));

-- Each threshold is crossed once in a month; an allowance that is changed begins anew.
CREATE TABLE allowance_crossing (
    tenant_id    uuid        NOT NULL,
    name         text        NOT NULL,
    revision     bigint      NOT NULL,
    period_start timestamptz NOT NULL,
    basis        text        NOT NULL CHECK (basis IN ('actual', 'forecast')),
    percent      integer     NOT NULL CHECK (0 < percent),
    action       text        NOT NULL CHECK (action IN ('notify', 'suspend', 'stop')),
    consumed     numeric     NOT NULL,  -- or forecast, then
    allowed      numeric     NOT NULL,
    unit         text        NOT NULL,
    crossed_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name, revision, period_start, basis, percent),
    FOREIGN KEY (tenant_id, name) REFERENCES allowance (tenant_id, name)
);
CREATE INDEX allowance_crossing_period_start ON allowance_crossing (tenant_id, period_start);
SELECT weir_enforce_tenant_read('allowance_crossing');

-- What is done about a crossing, until the month is over or the allowance is changed.
CREATE TABLE limit_action (
    action_id     uuid        PRIMARY KEY,
    tenant_id     uuid        NOT NULL,
    name          text        NOT NULL,
    revision      bigint      NOT NULL,
    basis         text        NOT NULL,
    percent       integer     NOT NULL,
    action        text        NOT NULL CHECK (action IN ('suspend', 'stop')),
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL CHECK (period_start < period_end),
    since         timestamptz NOT NULL,
    ended_at      timestamptz NULL,
    ended_because text        NULL,
    CHECK ((ended_at IS NULL) = (ended_because IS NULL)),
    FOREIGN KEY (tenant_id, name, revision, period_start, basis, percent)
        REFERENCES allowance_crossing (tenant_id, name, revision, period_start, basis, percent)
);
CREATE INDEX limit_action_open ON limit_action (tenant_id) WHERE ended_at IS NULL;
SELECT weir_enforce_tenant_read('limit_action');

-- Which instances it was done to: those are resumed when it ends, and no others.
CREATE TABLE limit_action_instance (
    action_id   uuid        NOT NULL REFERENCES limit_action (action_id),
    instance_id uuid        NOT NULL,
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id),
    done_at     timestamptz NOT NULL,
    undone_at   timestamptz NULL,
    PRIMARY KEY (action_id, instance_id)
);
CREATE INDEX limit_action_instance_done ON limit_action_instance (action_id) WHERE undone_at IS NULL;
SELECT weir_enforce_tenant_read('limit_action_instance');

ALTER TABLE mail_outbox
    DROP CONSTRAINT mail_outbox_kind_check,
    ADD CONSTRAINT mail_outbox_kind_check
        CHECK (kind IN ('invoice', 'budget', 'alert', 'test', 'dunning', 'wallet', 'allowance'));
