-- What single tenants pay otherwise than their plan says: every text that was ever applied, to the last byte. The latest
-- revision of a tenant is in force. Tenants see their own.

CREATE TABLE tenant_terms (
    tenant_id  uuid        NOT NULL REFERENCES tenant (tenant_id),
    revision   integer     NOT NULL CHECK (0 < revision),
    content    text        NOT NULL CHECK (octet_length(content) <= 1048576),  -- empty: the plan as it is
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, revision)
);
SELECT weir_enforce_tenant_read('tenant_terms');
