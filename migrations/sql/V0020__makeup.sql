-- What an instance is made of, as its node describes it: rules may give dimensions by it.

ALTER TABLE instance ADD COLUMN image text NULL;  -- from which its first disk was made: a path on the node

CREATE TABLE instance_nic (
    instance_id   uuid        NOT NULL REFERENCES instance (instance_id),
    device        text        NOT NULL,  -- its MAC
    network       text        NOT NULL,  -- a network, a bridge, or a device of the node
    first_seen_at timestamptz NOT NULL,
    PRIMARY KEY (instance_id, device)
);

-- Like instances: a tenant sees what belongs to those that it holds or once held.
SELECT weir_enforce_provider('instance_nic');
CREATE POLICY weir_read_held ON instance_nic FOR SELECT TO weir_app
    USING (EXISTS (SELECT FROM instance_tenant it
                   WHERE it.instance_id = instance_nic.instance_id AND it.tenant_id = (SELECT weir_tenant_id())));
