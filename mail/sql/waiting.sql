SELECT
    count(*) FILTER (WHERE refused_at IS NULL) AS waiting,
    count(*) FILTER (WHERE refused_at IS NULL AND last_error IS NOT NULL) AS failing,
    count(*) FILTER (WHERE refused_at IS NOT NULL) AS refused,
    min(created_at) FILTER (WHERE refused_at IS NULL) AS oldest_created_at
FROM mail_outbox
WHERE sent_at IS NULL
