SELECT min(last_observed_at) AS reported_until
FROM node
WHERE $1 <= last_observed_at
