-- One change of a budget at a time, also while there is no row to lock. A tenant may not lock its row of tenant.
SELECT pg_advisory_xact_lock(hashtextextended('weir_budget/' || $1::uuid, 0))::text AS locked
