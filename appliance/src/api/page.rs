//! Pages of lists: how many items, from where on, and how to get the next ones.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::NO_STORE;
use super::cursor;
use super::problem::Problem;

/// Items of a page, when nobody says how many.
pub const LIMIT_DEFAULT: u32 = 50;
/// Items of a page at most: what the registry gives at once, some 50 KiB of JSON.
pub const LIMIT_MAX: u32 = 200;

/// Which page is asked for.
#[derive(Clone, Debug)]
pub struct Paging {
    /// How many items.
    pub limit: u32,
    list: &'static str,
    path: String,
    filters: Vec<(String, String)>,
    cursor: Option<String>,
}

impl Paging {
    /// Reads `limit` and `cursor`; all other parameters are filters, which a cursor belongs to.
    ///
    /// # Errors
    /// The limit is no number between 1 and [`LIMIT_MAX`].
    pub fn read(list: &'static str, path: &str, query: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let limit = match query.get("limit") {
            None => LIMIT_DEFAULT,
            Some(text) => text
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse().ok())
                .flatten()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| {
                    Problem::query("limit", format!("limit is a number from 1 to {LIMIT_MAX}, such as 50"))
                })?,
        };
        let filters = query
            .iter()
            .filter(|(name, _)| !["limit", "cursor"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Self { limit, list, path: path.to_owned(), filters, cursor: query.get("cursor").cloned() })
    }

    /// The last item of the page before, if this is not the first.
    ///
    /// # Errors
    /// The cursor was altered, or is another list's.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let cursor = self.cursor.as_deref();
        cursor.map(|cursor| cursor::read(self.list, &self.filter_text(), cursor)).transpose()
    }

    /// Answers with a page; `last` names its last item, if there are more.
    #[must_use]
    pub fn answer<T: Serialize>(&self, items: Vec<T>, last: Option<&impl Serialize>) -> HttpResponse {
        let next = last.map(|last| cursor::write(self.list, &self.filter_text(), last));
        let mut answer = HttpResponse::Ok();
        answer.insert_header(NO_STORE);
        if let Some(link) = next.as_deref().and_then(|next| self.link(next)) {
            answer.insert_header(link);
        }
        answer.json(PageBody { items, next })
    }

    /// `Link: </v1/instances?limit=50&cursor=...>; rel="next"` (RFC 8288).
    fn link(&self, next: &str) -> Option<(HeaderName, HeaderValue)> {
        let mut query = format!("limit={}&cursor={next}", self.limit);
        for (name, value) in &self.filters {
            query.push_str(&format!("&{}={}", percent(name), percent(value)));
        }
        let value = HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", self.path)).ok()?;
        Some((header::LINK, value))
    }

    fn filter_text(&self) -> String {
        let filters: Vec<_> = self
            .filters
            .iter()
            .map(|(name, value)| format!("{}={}", percent(name), percent(value)))
            .collect();
        filters.join("&")
    }
}

/// The body of a page.
#[derive(Serialize)]
struct PageBody<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// Percent-encodes all but the unreserved characters (RFC 3986).
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_has_the_same_filters_and_a_link_that_cannot_be_broken_out_of() {
        let query = BTreeMap::from([
            ("limit".to_owned(), "2".to_owned()),
            ("search".to_owned(), "a&b>\r\n\"".to_owned()),
        ]);
        let paging = Paging::read("instances", "/v1/instances", &query).unwrap();
        let answer = paging.answer(vec![1, 2], Some(&"x"));
        let link = answer.headers().get("link").unwrap().to_str().unwrap();
        assert!(link.starts_with("</v1/instances?limit=2&cursor="), "{link}");
        assert!(link.ends_with("&search=a%26b%3E%0D%0A%22>; rel=\"next\""), "{link}");
    }

    #[test]
    fn a_limit_is_a_number_within_its_limits() {
        for limit in ["0", "201", "-1", "+5", "1.0", "", "x", "99999999999999999999"] {
            let query = BTreeMap::from([("limit".to_owned(), limit.to_owned())]);
            assert!(Paging::read("instances", "/v1/instances", &query).is_err(), "{limit}");
        }
    }
}
