//! Logging in and out, and everybody who tries to get in otherwise.

mod support;

use accounts::tokens::{self, NewToken};
use accounts::{Role, users};
use actix_web::test::TestRequest;
use jiff::Timestamp;
use migrations::testing::TestDatabase;

use support::browser::{Answer, HOST, get, post, send, with};
use support::{PASSWORD, session, user};

/// What the log-in sets; empty when it sets none.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    let value = set.strip_prefix("weir_session=").unwrap_or_default();
    value.split(';').next().unwrap_or_default().to_owned()
}

async fn log_in(database: &TestDatabase, name: &str, password: &str, next: &str) -> Answer {
    post(database, "", "/login", &format!("name={name}&password={password}&next={next}")).await
}

#[actix_web::test]
async fn a_session_lasts_until_the_log_out_and_no_longer() {
    let database = migrations::testing::database().await;
    user(&database, "admin", "Administrator", Role::Provider, None).await;
    let answer = log_in(&database, "admin", &PASSWORD.replace(' ', "+"), "%2Fstatus").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/status".to_owned()));
    let set = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    let session = cookie(&answer);
    assert_eq!(get(&database, &session, "/status").await.status, 200);
    assert_eq!(get(&database, &session, "/login").await.status, 303, "who is in needs no log-in page");
    let answer = post(&database, &session, "/logout", "").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login".to_owned()));
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{}", answer.header("set-cookie"));
    for path in ["/", "/status", "/instances"] {
        assert_eq!(get(&database, &session, path).await.status, 303, "{path}: the session is over");
    }
}

#[actix_web::test]
async fn a_wrong_password_and_an_unknown_name_are_told_the_same_and_the_eleventh_try_must_wait() {
    let database = migrations::testing::database().await;
    user(&database, "ada", "Ada", Role::Provider, None).await;
    let shown = |answer: &Answer| {
        let page = answer.text();
        let start = page.find("role=\"alert\"").expect("the page says what went wrong");
        page[start..].split("</div>").next().unwrap().to_owned()
    };
    let unknown = log_in(&database, "nobody", "wrong+wrong+wrong", "").await;
    let wrong = log_in(&database, "ada", "wrong+wrong+wrong", "").await;
    assert_eq!((unknown.status, wrong.status), (403, 403));
    assert_eq!(shown(&unknown), shown(&wrong));
    assert!(cookie(&wrong).is_empty());
    for _ in 0..9 {
        log_in(&database, "ada", "wrong+wrong+wrong", "").await;
    }
    let answer = log_in(&database, "ada", &PASSWORD.replace(' ', "+"), "").await;
    assert_eq!(answer.status, 429, "even with the right password");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!(0 < wait && wait <= 900, "{wait}");
    assert!(answer.text().contains("Try again in") && answer.text().contains("UTC"));
}

#[actix_web::test]
async fn a_log_in_leads_to_pages_of_this_site_alone() {
    let database = migrations::testing::database().await;
    let ada = session(&database, "ada", Role::Provider, None).await;
    for (next, leads_to) in [
        ("%2Finstances%3Fq%3Dx%26state%3Drunning", "/instances?q=x&state=running"),
        ("%2F%2Fevil.example%2F", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2F%09%2Fevil.example", "/"),
        ("javascript%3Aalert(1)", "/"),
        ("%2Flogin", "/"),
    ] {
        let answer = get(&database, &ada, &format!("/login?next={next}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, leads_to.to_owned()), "{next}");
        let page = get(&database, "", &format!("/login?next={next}")).await.text();
        assert!(!page.contains("evil"), "{next}");
    }
}

#[actix_web::test]
async fn nobody_is_sent_to_the_log_in_and_back_and_programs_get_a_problem() {
    let database = migrations::testing::database().await;
    let answer = get(&database, "", "/instances?state=running&q=a%20b").await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), "/login?next=/instances%3Fstate%3Drunning%26q%3Da%2520b");
    assert_eq!(get(&database, "", "/").await.header("location"), "/login");
    let never_a_secret = "B".repeat(43);
    for session in ["x", &never_a_secret, "%00", "'; DROP TABLE user_session; --"] {
        assert_eq!(get(&database, session, "/").await.status, 303, "{session}");
    }
    let htmx = TestRequest::get().uri("/instances").insert_header(("HX-Request", "true"));
    let answer = send(&database, htmx).await;
    assert_eq!((answer.status, answer.header("hx-redirect")), (401, "/login?next=/instances".to_owned()));
    for header in [
        ("Accept", "application/json"),
        ("Authorization", "Bearer weir_wrong"),
        ("Authorization", "Basic eA=="),
    ] {
        let answer = send(&database, TestRequest::get().uri("/instances").insert_header(header)).await;
        assert_eq!(
            (answer.status, answer.header("content-type").as_str()),
            (401, "application/problem+json")
        );
        assert!(answer.header("www-authenticate").contains("Bearer"), "{header:?}");
        let problem: serde_json::Value = serde_json::from_slice(&answer.bytes).unwrap();
        assert!(problem["status"] == 401 && problem["detail"].as_str().unwrap().contains("token"));
    }
}

#[actix_web::test]
async fn another_site_can_neither_log_anybody_out_nor_in() {
    let database = migrations::testing::database().await;
    let ada = session(&database, "ada", Role::Provider, None).await;
    let foreign: [&[(&str, &str)]; 5] = [
        &[],
        &[("Origin", "http://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://weir.test")],
        &[("Sec-Fetch-Site", "same-site")],
    ];
    for headers in foreign {
        for path in ["/logout", "/login"] {
            let mut request = with(TestRequest::post().uri(path), &ada)
                .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
                .set_payload(format!("name=ada&password={PASSWORD}"));
            for header in headers {
                request = request.insert_header(*header);
            }
            let answer = send(&database, request).await;
            assert_eq!(answer.status, 403, "{path} {headers:?}");
            assert!(answer.text().contains("another site"), "{path}");
        }
        assert_eq!(get(&database, &ada, "/status").await.status, 200, "still logged in: {headers:?}");
    }
    let own = TestRequest::post().uri("/logout").insert_header(("Sec-Fetch-Site", "same-origin"));
    assert_eq!(send(&database, with(own, &ada)).await.status, 303);
}

#[actix_web::test]
async fn an_api_token_reads_pages_needs_no_origin_and_dies_when_revoked() {
    let database = migrations::testing::database().await;
    session(&database, "ada", Role::Provider, None).await;
    let ada = users::find(&database, "ada").await.unwrap().unwrap();
    let new = NewToken { user_id: ada.id, name: "test", may_write: true, expires_at: None };
    let (secret, token) = tokens::create(&database, &new, Timestamp::now()).await.unwrap();
    let ask = || {
        let bearer = format!("Bearer {}", secret.expose());
        TestRequest::get().uri("/status").insert_header(("Authorization", bearer))
    };
    assert_eq!(send(&database, ask()).await.status, 200);
    // What the token says holds, whatever cookie comes along.
    let with_a_dead_cookie = with(ask(), &"B".repeat(43));
    assert_eq!(send(&database, with_a_dead_cookie).await.status, 200);
    assert!(tokens::revoke(&database, ada.id, token.id, Timestamp::now()).await.unwrap());
    assert_eq!(send(&database, ask()).await.status, 401);
}

#[actix_web::test]
async fn the_log_in_page_says_how_to_make_the_first_user() {
    let database = migrations::testing::database().await;
    let page = get(&database, "", "/login").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("weir user create admin --role provider"));
    session(&database, "ada", Role::Provider, None).await;
    assert!(!get(&database, "", "/login").await.text().contains("weir user create"));
}

#[actix_web::test]
async fn a_form_that_is_none_or_too_large_is_refused_with_a_page() {
    let database = migrations::testing::database().await;
    let huge = format!("name=a&password={}", "x".repeat(64 * 1024));
    for form in ["", "name=a", "%FF=%FF&name", "name=%00&password", huge.as_str()] {
        let answer = post(&database, "", "/login", form).await;
        assert!((400..500).contains(&answer.status), "{}: {}", form.len(), answer.status);
        assert!(answer.header("content-type").starts_with("text/html"), "{}", form.len());
    }
    let answer = log_in(&database, "%00%3Cscript%3E", "%00", "%00").await;
    assert_eq!(answer.status, 403);
    assert!(!answer.text().contains("<script>"));
    assert_eq!(HOST, "weir.test");
}
