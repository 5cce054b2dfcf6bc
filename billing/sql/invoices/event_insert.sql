INSERT INTO invoice_event (event_id, tenant_id, invoice_id, at, actor, action, note)
VALUES ($1, $2, $3, $4, $5, $6, $7)
