-- Further nodes: who may report, with which certificate, how they are doing, and what their operator is told.

ALTER TABLE node
    ADD COLUMN state           text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'draining', 'removed')),
    ADD COLUMN joined_at       timestamptz NULL,  -- NULL: the control plane's own node, which needs no certificate
    ADD COLUMN removed_at      timestamptz NULL CHECK ((removed_at IS NOT NULL) = (state = 'removed')),
    ADD COLUMN release         text NULL,         -- of Weir on the node
    ADD COLUMN last_heard_at   timestamptz NULL,  -- by the control plane's clock
    ADD COLUMN run_id          uuid NULL,         -- the collector's run that may deliver; another one may be a copy
    ADD COLUMN run_lease_us    bigint NULL CHECK (0 < run_lease_us),  -- it may be silent so long before another may deliver
    ADD COLUMN rival_run_id    uuid NULL,         -- the latest other run that wanted to deliver within that time
    ADD COLUMN rival_at        timestamptz NULL,
    ADD COLUMN backlog_batches bigint NULL CHECK (0 <= backlog_batches),  -- that wait on the node, as it said itself
    ADD COLUMN clock_error_us  bigint NULL,       -- the node's wall clock minus the control plane's
    ADD COLUMN clock_error_at  timestamptz NULL,
    ADD COLUMN covered_seq     bigint NOT NULL DEFAULT 0 CHECK (0 <= covered_seq);  -- batches that a backup covers

-- Whom people mean by a name. Nodes that never joined (the control plane's own) are called as their host is.
CREATE UNIQUE INDEX node_name ON node (name) WHERE state <> 'removed' AND joined_at IS NOT NULL;

-- Runs of a collector that were seen beside another one with the same identity: copies of a node's disk.
CREATE TABLE node_run_barred (
    node_id   uuid NOT NULL REFERENCES node (node_id),
    run_id    uuid NOT NULL,
    barred_at timestamptz NOT NULL,
    PRIMARY KEY (node_id, run_id)
);
SELECT weir_enforce_provider('node_run_barred');

-- A token joins one node, once, soon. Only its hash is kept.
CREATE TABLE join_token (
    token_id   uuid PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    node_name  text NULL,  -- NULL: any
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (created_at < expires_at),
    used_at    timestamptz NULL,
    revoked_at timestamptz NULL,
    node_id    uuid NULL REFERENCES node (node_id),
    CHECK (used_at IS NULL OR revoked_at IS NULL),
    CHECK ((used_at IS NULL) = (node_id IS NULL))
);
SELECT weir_enforce_provider('join_token');

CREATE TABLE node_certificate (
    serial          text PRIMARY KEY,  -- lower case hex
    node_id         uuid NOT NULL REFERENCES node (node_id),
    fingerprint     bytea NOT NULL UNIQUE CHECK (length(fingerprint) = 32),  -- SHA-256 of the DER form
    issued_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL CHECK (issued_at < expires_at),
    revoked_at      timestamptz NULL,
    revoked_because text NULL,
    CHECK ((revoked_at IS NULL) = (revoked_because IS NULL))
);
CREATE INDEX node_certificate_node_id ON node_certificate (node_id);
SELECT weir_enforce_provider('node_certificate');

-- Something that an operator should see. One row from when it was first seen until it was over.
CREATE TABLE alert (
    alert_id    uuid PRIMARY KEY,
    kind        text NOT NULL,
    subject     text NOT NULL,  -- what it is about, as a key: 'node/<id>', 'instance/<id>/vda'
    title       text NOT NULL,
    detail      text NOT NULL,
    node_id     uuid NULL REFERENCES node (node_id),
    instance_id uuid NULL,      -- not every instance that is spoken of is known
    raised_at   timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL CHECK (raised_at <= seen_at),
    times       bigint NOT NULL DEFAULT 1 CHECK (0 < times),
    ended_at    timestamptz NULL,
    mailed_at   timestamptz NULL  -- when a mail about it was written; NULL: the limits kept it back
);
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE ended_at IS NULL;
CREATE INDEX alert_raised_at ON alert (raised_at);
CREATE INDEX alert_mailed_at ON alert (kind, mailed_at) WHERE mailed_at IS NOT NULL;
SELECT weir_enforce_provider('alert');

ALTER TABLE mail_outbox
    DROP CONSTRAINT mail_outbox_kind_check,
    ADD CONSTRAINT mail_outbox_kind_check CHECK (kind IN ('invoice', 'budget', 'alert', 'test'));

-- Backups that somebody's tool has made of this database. Nodes keep what none of them covers.
CREATE TABLE backup (
    backup_id  uuid PRIMARY KEY,
    covers_to  timestamptz NOT NULL,  -- everything committed before this instant is in it
    noted_at   timestamptz NOT NULL,
    note       text NOT NULL
);
SELECT weir_enforce_provider('backup');

-- ---------------------------------------------------------------------------------------------------------------
-- What a reading is judged by: the one before it, and which node has what it is about.

ALTER TABLE reading_head
    ADD COLUMN last_epoch bigint NULL,  -- of the reading at last_observed_at; NULL: from before this release
    -- Its registers, in the order of its table's columns; 0 where its kind has none.
    ADD COLUMN register_1 bigint NOT NULL DEFAULT 0,
    ADD COLUMN register_2 bigint NOT NULL DEFAULT 0,
    ADD COLUMN register_3 bigint NOT NULL DEFAULT 0,
    ADD COLUMN register_4 bigint NOT NULL DEFAULT 0;

ALTER TABLE instance
    ADD COLUMN former_node_id uuid NULL,         -- that had it before node_id
    ADD COLUMN moved_at       timestamptz NULL,  -- the first reading by node_id
    ADD CHECK ((former_node_id IS NULL) = (moved_at IS NULL));

ALTER TABLE volume
    ADD COLUMN moved_at timestamptz NULL;  -- the first reading by node_id, when another node had it before

ALTER TABLE quarantine
    ADD COLUMN quarantine_id  uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN clock_error_us bigint NULL,       -- how far the node's wall clock was ahead, if that is the reason
    ADD COLUMN released_at    timestamptz NULL;  -- taken in after all
CREATE UNIQUE INDEX quarantine_quarantine_id ON quarantine (quarantine_id);
CREATE INDEX quarantine_batch ON quarantine (node_id, seq);
