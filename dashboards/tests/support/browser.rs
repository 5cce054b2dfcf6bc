//! What a browser (or a program) asks and gets, in process.

use actix_web::http::header::HeaderMap;
use actix_web::test::TestRequest;
use actix_web::{App, test};
use migrations::testing::TestDatabase;

use super::{portal, quiet};

/// The host that it believes to talk to.
pub const HOST: &str = "weir.test";

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).expect("a page is UTF-8")
    }
}

/// Sends a request to a portal on `database`.
pub async fn send(database: &TestDatabase, request: TestRequest) -> Answer {
    let app = App::new().wrap(dashboards::headers()).configure(dashboards::configure(
        database.database(),
        quiet(),
        portal(),
    ));
    let app = test::init_service(app).await;
    let request = request.insert_header(("Host", HOST)).peer_addr("192.0.2.7:1234".parse().unwrap());
    let answer = test::call_service(&app, request.to_request()).await;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, bytes: test::read_body(answer).await.to_vec() }
}

/// Reads a page with a session.
pub async fn get(database: &TestDatabase, session: &str, path: &str) -> Answer {
    send(database, with(TestRequest::get().uri(path), session)).await
}

/// Sends a form from a page of the portal's own.
pub async fn post(database: &TestDatabase, session: &str, path: &str, form: &str) -> Answer {
    let origin = format!("http://{HOST}");
    let request = TestRequest::post()
        .uri(path)
        .insert_header(("Origin", origin))
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"))
        .set_payload(form.to_owned());
    send(database, with(request, session)).await
}

/// The same request with a session's cookie.
pub fn with(request: TestRequest, session: &str) -> TestRequest {
    match session {
        "" => request,
        session => request.insert_header(("Cookie", format!("weir_session={session}"))),
    }
}

/// A page, in which nothing that somebody is called is markup, and nothing is styled in place.
pub async fn plain_page(database: &TestDatabase, session: &str, path: &str, markup: &str) -> String {
    let answer = get(database, session, path).await;
    assert_eq!(answer.status, 200, "{path}");
    let page = answer.text();
    assert!(!page.contains(markup) && !page.contains(" style="), "{path}");
    page
}

/// What a form is answered with: another page to go to, or one in which nothing that somebody is called is markup.
pub async fn plain_answer(
    database: &TestDatabase,
    session: &str,
    (path, form): (&str, &str),
    markup: &str,
) -> Answer {
    let answer = post(database, session, path, form).await;
    assert!(answer.status == 303 || !answer.text().contains(markup), "{path}");
    answer
}
