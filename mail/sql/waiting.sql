SELECT
    count(*) FILTER (WHERE refused_at IS NULL) AS waiting,
    count(*) FILTER (WHERE refused_at IS NULL AND last_error IS NOT NULL) AS failing,
    -- An alert that was over before it could be sent has no recipient, and is nothing to see to.
    count(*) FILTER (WHERE refused_at IS NOT NULL AND recipient IS NOT NULL) AS refused,
    min(created_at) FILTER (WHERE refused_at IS NULL) AS oldest_created_at
FROM mail_outbox
WHERE sent_at IS NULL
