//! Entity tags: each thing that two people may change at once has a revision, which is its `ETag`, and a change must
//! name the revision that it is a change of (`If-Match`). It does not compare: the statement that writes does.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderValue};

use super::problem::{Kind, Problem};

/// Which revision a change is a change of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `If-Match: *`: whatever it is now. The caller means to overwrite.
    Any,
    /// That one.
    Revision(u64),
}

impl Expected {
    /// For functions that take the expected revision, or `None` for any.
    #[must_use]
    pub const fn revision(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Revision(revision) => Some(revision),
        }
    }
}

/// The `ETag` of a revision.
#[must_use]
pub fn etag(revision: u64) -> (header::HeaderName, HeaderValue) {
    let value =
        HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits in quotes are a header value");
    (header::ETAG, value)
}

/// What the request expects.
///
/// # Errors
/// It does not say (428), or what it says is no tag of ours and so cannot be the present one (412).
pub fn expected(request: &HttpRequest) -> Result<Expected, Problem> {
    let mut all = request.headers().get_all(header::IF_MATCH);
    let Some(value) = all.next() else {
        return Err(Problem::new(
            Kind::PreconditionRequired,
            "get it first, and send its ETag with the change, such as If-Match: \"3\"; If-Match: * overwrites whatever is there",
        ));
    };
    let unreadable = || {
        Problem::new(Kind::InvalidHeader, "If-Match takes one entity tag in quotes, such as \"3\", or *")
            .at("header", "If-Match")
    };
    if all.next().is_some() {
        return Err(unreadable());
    }
    let text = value.to_str().map_err(|_| unreadable())?.trim();
    if text == "*" {
        return Ok(Expected::Any);
    }
    let tag = text.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(unreadable)?;
    let is_number = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_digit());
    match tag.parse() {
        Ok(revision) if is_number => Ok(Expected::Revision(revision)),
        _ => Err(stale(None)),
    }
}

/// Somebody changed it meanwhile.
#[must_use]
pub fn stale(current: Option<u64>) -> Problem {
    let now = current.map_or_else(String::new, |current| format!("; its ETag is \"{current}\" now"));
    Problem::new(
        Kind::Stale,
        format!("it was changed since you got it{now}: get it again, look at what has changed, and repeat your change"),
    )
    .at("header", "If-Match")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_a_tag_of_ours_can_be_the_present_one() {
        for (text, result) in [
            ("\"3\"", Ok(Expected::Revision(3))),
            ("*", Ok(Expected::Any)),
            ("W/\"3\"", Err(Kind::InvalidHeader)),
            ("3", Err(Kind::InvalidHeader)),
            ("\"3\", \"4\"", Err(Kind::Stale)),
            ("\"+3\"", Err(Kind::Stale)),
            ("\"\"", Err(Kind::Stale)),
            ("\"99999999999999999999999\"", Err(Kind::Stale)),
            ("", Err(Kind::InvalidHeader)),
        ] {
            let request = TestRequest::default().insert_header(("If-Match", text)).to_http_request();
            assert_eq!(expected(&request).map_err(|problem| problem.kind()), result, "{text}");
        }
        let request = TestRequest::default().to_http_request();
        assert_eq!(expected(&request).unwrap_err().kind(), Kind::PreconditionRequired);
    }
}
