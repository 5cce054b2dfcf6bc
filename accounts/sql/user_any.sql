SELECT EXISTS (SELECT FROM user_account) AS any_exist
