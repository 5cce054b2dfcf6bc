-- Whether the days $2 begin at the instants $3 in zone $1 here too: the sums by day are made with PostgreSQL's time zones.
SELECT COALESCE(bool_and((x.day::timestamp AT TIME ZONE $1) = x.starts), true) AS is_same
FROM unnest($2::date[], $3::timestamptz[]) AS x (day, starts)
