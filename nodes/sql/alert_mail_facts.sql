-- What decides whether a mail goes out ($4: the start of the hour that counts), and what it needs to say.
SELECT
    (SELECT count(*) FROM alert WHERE kind = $2 AND subject = $3 AND $4 < mailed_at) AS mails_of_subject,
    (SELECT count(*) FROM alert WHERE kind = $2 AND $4 < mailed_at) AS mails_of_kind,
    (SELECT count(*) FROM alert WHERE ended_at IS NULL AND alert_id <> $1) AS open_beside,
    (SELECT n.name FROM node AS n WHERE n.node_id = $5) AS node_name,
    (SELECT i.name FROM instance AS i WHERE i.instance_id = $6) AS instance_name
