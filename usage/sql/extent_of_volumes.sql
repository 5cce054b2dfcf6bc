-- From when to when there may be usage of volumes.
SELECT h.resource, min(LEAST(v.first_seen_at, h.first_observed_at)) AS starts,
       max(GREATEST(h.last_observed_at, h.overdue_until)) AS ends
FROM reading_head h
JOIN volume v ON v.volume_id = h.resource
WHERE h.resource = ANY ($1)
GROUP BY h.resource
ORDER BY h.resource
