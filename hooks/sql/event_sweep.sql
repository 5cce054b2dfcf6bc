-- Events, and their deliveries with them, that are older than they are kept.
DELETE FROM webhook_event
WHERE created_at < $1
