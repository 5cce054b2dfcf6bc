SELECT kind, count(*) AS alerts FROM alert WHERE ended_at IS NULL GROUP BY kind ORDER BY kind
