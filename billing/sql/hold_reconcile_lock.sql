-- One comparison with the hypervisors at a time: two would lock the same rows in different orders.
SELECT pg_advisory_xact_lock(hashtext('weir_instance_hold'))::text AS locked
