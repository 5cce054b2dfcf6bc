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
