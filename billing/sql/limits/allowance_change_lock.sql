-- One change of a tenant's allowances at a time, also while there is no row to lock.
SELECT pg_advisory_xact_lock(hashtextextended('weir_allowance/' || $1::uuid, 0))::text AS locked
