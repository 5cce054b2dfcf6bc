-- From when to when there may be usage of instances and their devices.
SELECT h.resource, min(LEAST(i.first_seen_at, h.first_observed_at)) AS starts,
       max(GREATEST(h.last_observed_at, h.overdue_until)) AS ends
FROM reading_head h
JOIN instance i ON i.instance_id = h.resource
WHERE h.resource = ANY ($1)
GROUP BY h.resource
ORDER BY h.resource
