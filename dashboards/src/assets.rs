//! The static files, which are part of the program. Their path has their hash in it, so that browsers keep them for ever
//! and a new program never meets an old style sheet. It serves no file of the disk.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::http::header::{self, ETag, EntityTag, Header as _, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest as _, Sha256};

use crate::site::PageError;

/// A file: name, type, content.
type File = (&'static str, &'static str, &'static [u8]);

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const FILES: [File; 6] = [
    ("weir.css", CSS, include_bytes!("../static/weir.css")),
    ("theme.js", JS, include_bytes!("../static/theme.js")),
    ("weir.js", JS, include_bytes!("../static/weir.js")),
    ("htmx.js", JS, include_bytes!("../static/vendor/htmx-4.0.1.min.js")),
    ("uplot.js", JS, include_bytes!("../static/vendor/uplot-1.6.32.min.js")),
    ("uplot.css", CSS, include_bytes!("../static/vendor/uplot-1.6.32.min.css")),
];

/// A year, which is what "for ever" is in HTTP (RFC 9111 knows no more).
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// How many hex digits of the hash stand in the path: 64 bits, as no accident meets twice.
const VERSION_DIGITS: usize = 16;

/// Where the files are.
pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, _, content) in FILES {
        hash.update(name);
        hash.update(content);
    }
    let mut version = String::new();
    for byte in hash.finalize().iter().take(VERSION_DIGITS / 2) {
        // Writing to a string cannot fail.
        let _ = write!(version, "{byte:02x}");
    }
    Assets { version }
});

/// The static files of this program.
pub(crate) struct Assets {
    version: String,
}

impl Assets {
    /// Where the file of that name is.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("/static/{}/{name}", self.version)
    }
}

/// The route of the files.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/static/{version}/{name}").route(web::get().to(file)).route(web::head().to(file)),
    );
}

/// A file of this program. Another version's path is not found: its content would be wrong for ever.
async fn file(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, PageError> {
    let (version, name) = path.into_inner();
    let found = FILES.iter().find(|(known, _, _)| *known == name && version == ASSETS.version);
    let (_, kind, content) = *found.ok_or(PageError::NotFound)?;
    let tag = EntityTag::new_strong(format!("{version}-{name}"));
    let is_known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut answer = match is_known {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    answer.insert_header(ETag(tag)).insert_header((header::CACHE_CONTROL, FOR_EVER));
    match is_known {
        true => Ok(answer.finish()),
        false => Ok(answer.content_type(kind).body(content)),
    }
}
