-- Ended alerts that are older than $1, and the oldest of those above $2 in number. Open ones stay.
DELETE FROM alert
WHERE ended_at < $1
    OR alert_id IN (
        SELECT alert_id FROM alert WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, alert_id DESC OFFSET $2
    )
