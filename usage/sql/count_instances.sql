-- How many there are that the scope may see, and how many of them run. Gone ones are not there.
SELECT count(*) AS there, count(*) FILTER (WHERE state = 'running') AS running
FROM instance
WHERE gone_at IS NULL
