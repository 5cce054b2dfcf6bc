-- Who may log in: users of the provider and of tenants, their sessions and API tokens. Secrets are stored as digests only:
-- passwords as argon2id, the random ones (session, token) as SHA-256, which is enough for 256 random bits.

CREATE TABLE user_account (
    user_id             uuid        PRIMARY KEY,
    name                text        NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,126}$'),
    display_name        text        NOT NULL CHECK (length(display_name) BETWEEN 1 AND 200),
    -- provider: everything. planner: nodes, instances and capacity of all tenants, no money. tenant: its own.
    role                text        NOT NULL CHECK (role IN ('provider', 'planner', 'tenant')),
    tenant_id           uuid        NOT NULL REFERENCES tenant (tenant_id),  -- the provider's own: unassigned
    password_hash       text        NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    created_at          timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL,
    disabled_at         timestamptz NULL,
    CHECK ((role = 'tenant') = (tenant_id <> '00000000-0000-0000-0000-000000000000'))
);
CREATE INDEX user_account_tenant_id ON user_account (tenant_id);
SELECT weir_enforce_provider('user_account');

CREATE TABLE user_session (
    session_hash bytea       PRIMARY KEY CHECK (octet_length(session_hash) = 32),
    user_id      uuid        NOT NULL REFERENCES user_account (user_id) ON DELETE CASCADE,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (created_at < expires_at)
);
CREATE INDEX user_session_user_id ON user_session (user_id);
CREATE INDEX user_session_expires_at ON user_session (expires_at);
SELECT weir_enforce_provider('user_session');

CREATE TABLE api_token (
    token_id     uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES user_account (user_id) ON DELETE CASCADE,
    name         text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- The first characters, by which people tell tokens apart.
    prefix       text        NOT NULL,
    token_hash   bytea       NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    may_write    boolean     NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NULL CHECK (created_at < expires_at),
    last_used_at timestamptz NULL,
    revoked_at   timestamptz NULL
);
CREATE INDEX api_token_user_id ON api_token (user_id);
SELECT weir_enforce_provider('api_token');

-- Wrong passwords, by name and address: whoever guesses is slowed down, the user at another address is not. An attempt
-- is counted before its password is looked at, so that guesses made at once are counted too.
CREATE TABLE login_failure (
    name            text        NOT NULL,
    address         text        NOT NULL,
    failures        integer     NOT NULL CHECK (0 < failures),
    first_failed_at timestamptz NOT NULL,
    last_failed_at  timestamptz NOT NULL,
    PRIMARY KEY (name, address)
);
CREATE INDEX login_failure_last_failed_at ON login_failure (last_failed_at);
SELECT weir_enforce_provider('login_failure');

-- Where a tenant's mail goes, and a count of its changes, so that two who edit it at once are told.
ALTER TABLE tenant
    ADD COLUMN email    text   NULL CHECK (length(email) BETWEEN 3 AND 254),
    ADD COLUMN revision bigint NOT NULL DEFAULT 1 CHECK (0 < revision);
