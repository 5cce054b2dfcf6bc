//! A running Weir with users of every role, and requests to its API.

use std::path::Path;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::running::Weir;

/// What every user of the tests logs in with.
pub const PASSWORD: &str = "correct horse battery staple";

/// A Weir, and tokens for it.
pub struct Cloud {
    pub up: Weir,
    pub dir: TempDir,
    /// The provider's.
    pub provider: String,
    /// A planner's.
    pub planner: String,
    /// Of tenant acme.
    pub acme: String,
    /// Of tenant acme, for reading alone.
    pub reader: String,
    /// Of tenant other.
    pub other: String,
    pub runtime: Runtime,
    http: Client,
    pub database: migrations::testing::TestDatabase,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Cloud {
    /// Starts one, with a database of its own.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings: variables of its environment.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_configured(settings, "")
    }

    /// The same with more of a configuration file.
    pub fn start_configured(settings: &[(&str, &str)], more: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(migrations::testing::database());
        let dir = tempfile::tempdir().unwrap();
        configure(dir.path(), more);
        let data = dir.path().join("data");
        let up = Weir::start_with(&data, &["--database-url", database.owner_url()], settings);
        up.ask(&["tenant", "create", "acme"]);
        up.ask(&["tenant", "create", "other"]);
        for (name, role) in [("root", "provider"), ("plan", "planner"), ("ann", "acme"), ("bob", "other")] {
            create_user(&up, name, role);
        }
        let token = |user: &str, flags: &[&str]| {
            let arguments = [&["token", "create", user, "--name", "test"], flags].concat();
            up.ask(&arguments)["token"].as_str().unwrap().to_owned()
        };
        Self {
            provider: token("root", &[]),
            planner: token("plan", &["--read-only"]),
            acme: token("ann", &[]),
            reader: token("ann", &["--read-only"]),
            other: token("bob", &[]),
            http: {
                nodes::tls::install();
                runtime.block_on(async { Client::builder().build().unwrap() })
            },
            runtime,
            up,
            dir,
            database,
        }
    }

    /// A request, to be sent with [`Cloud::send`].
    pub fn request(&self, method: Method, token: &str, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.up.address())).bearer_auth(token)
    }

    /// A request of nobody.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.up.address()))
    }

    pub fn send(&self, request: RequestBuilder) -> Answer {
        self.runtime.block_on(answer(request))
    }

    pub fn get(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, token, path))
    }

    pub fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, token, path).json(body))
    }

    /// A change at that revision.
    pub fn change(&self, method: Method, token: &str, path: &str, etag: &str, body: &Value) -> Answer {
        self.send(self.request(method, token, path).header("If-Match", etag).json(body))
    }

    /// Logs in at the portal; the session's cookie.
    pub fn log_in(&self, name: &str) -> String {
        let form = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
        let request = self
            .anonymous(Method::POST, "/login")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Sec-Fetch-Site", "same-origin")
            .body(form);
        // The log-in leads to the pages, which is followed; so the cookie is looked for without following.
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let request = request.build().unwrap();
        let answer = self.runtime.block_on(async { client.execute(request).await.unwrap() });
        let cookie = answer.headers().get("set-cookie").expect("the log-in sets a cookie").to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

/// Sends a request within a runtime.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.bytes().await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Answer { status, headers, text: text.unwrap() }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn etag(&self) -> String {
        let etag = self.header("etag").to_owned();
        assert!(etag.starts_with('"'), "no ETag: {self:?}");
        etag
    }

    /// It is a problem of that kind, in the form that problems have.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        assert_eq!(self.header("cache-control"), "no-store");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/v1/problems/{kind}"), "{}", self.text);
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && detail.len() < 3_000, "{detail}");
        problem
    }

    #[track_caller]
    pub fn fine(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("cache-control"), "no-store");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

/// One image, of which libvirt's test driver never looks at the content.
fn configure(dir: &Path, more: &str) {
    let data = dir.join("data");
    std::fs::create_dir_all(&data).unwrap();
    for file in ["kernel", "initrd"] {
        std::fs::write(dir.join(file), file).unwrap();
    }
    let toml = format!(
        "[compute]\nvirtualization = \"emulated\"\npool_path = \"{0}/pool\"\n[compute.images.tiny]\nkernel = \"{0}/kernel\"\ninitrd = \"{0}/initrd\"\n{more}",
        dir.display()
    );
    std::fs::write(data.join("weir.toml"), toml).unwrap();
}

/// `role` is `provider`, `planner`, or the name of the tenant.
fn create_user(up: &Weir, name: &str, role: &str) {
    let role = match role {
        "provider" | "planner" => vec!["--role", role],
        tenant => vec!["--role", "tenant", "--tenant", tenant],
    };
    let arguments = [&["user", "create", name, "--password-stdin"], &role[..]].concat();
    up.ask_with(&arguments, &format!("{PASSWORD}\n"));
}
