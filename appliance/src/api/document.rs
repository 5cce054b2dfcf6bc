//! The OpenAPI 3.1 document, put together from the operations. It says nothing that they do not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use actix_web::http::{Method, StatusCode};
use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Header, OpenApi, OpenApiBuilder, Required, SecurityRequirement};
use utoipa::{PartialSchema, ToSchema};

use super::call::BODY_BYTES_MAX;
use super::identity::Access;
use super::operation::{Operation, Tag, reference};
use super::problem::{self, Kind, Problem};
use super::routes;

/// The document as it is served: made once.
pub static TEXT: LazyLock<String> = LazyLock::new(|| {
    let document = document(&routes::operations());
    // Structures of strings and numbers: writing them as JSON cannot fail.
    document.to_pretty_json().unwrap_or_default()
});

const DESCRIPTION: &str = "\
Weir meters a KVM cloud, and shows provider and tenants the same numbers, down to the reading.

**Signing in.** Send an API token, `Authorization: Bearer weir_...`. The portal's session cookie is taken too; changes with it must come from a page of the same origin. What belongs to another tenant is answered with 404, as if it did not exist.

**Figures.** Money is a decimal in a string, with its currency beside it. Quantities in base units are whole numbers in strings, because they can be larger than what a double holds exactly; their unit stands beside them. Instants are RFC 3339 in UTC; periods are half-open.

**Lists** come in pages: follow `next` (or the `Link` header) until it is null. Items that are added meanwhile move nothing.

**Changes at once.** What two people may change has an `ETag`. A change sends it back in `If-Match`: 428 without, 412 when somebody else was faster.

**Requests that are sent twice.** What makes something takes an `Idempotency-Key`: within 24 hours, the same request with the same key is answered as before, with `Idempotent-Replayed: true`, and makes nothing more; another request with it is refused with 422. Keys are the user's own. A request that was refused may be mended and sent again with its key.

**Refusals** are problem details (RFC 9457). Unknown parameters and fields are refused, never ignored. What is wrong with a text of prices or taxes is listed in `errors`, each with its line, its column and how to mend it. A body has at most 65,536 bytes, where nothing else is said.";

/// The document of these operations.
#[must_use]
pub fn document(operations: &[Operation]) -> OpenApi {
    let mut schemas = BTreeMap::new();
    let mut listed = Vec::new();
    problem::Shown::schemas(&mut listed);
    listed.push((problem::Shown::name().into_owned(), problem::Shown::schema()));
    let mut paths = Paths::new();
    for operation in operations {
        listed.extend(operation.schemas.iter().cloned());
        let item = PathItem::new(method(&operation.method), described(operation));
        match paths.paths.get_mut(operation.path) {
            Some(path) => path.merge_operations(item),
            None => {
                paths.paths.insert(operation.path.to_owned(), item);
            }
        }
    }
    schemas.extend(listed);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("token", bearer())
        .security_scheme("session", cookie());
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Weir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license.build()));
    let tags = Tag::ALL.map(|tag| {
        let (name, description) = tag.words();
        TagBuilder::new().name(name).description(Some(description)).build()
    });
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("weir_ and 43 characters")
        .description(Some("An API token. Make one at /tokens, or with `weir token create`."));
    SecurityScheme::Http(scheme.build())
}

fn cookie() -> SecurityScheme {
    let value = ApiKeyValue::with_description("weir_session", "The portal's session: log in at /login.");
    SecurityScheme::ApiKey(ApiKey::Cookie(value))
}

fn described(operation: &Operation) -> utoipa::openapi::path::Operation {
    let mut description = match operation.description {
        "" => operation.access.sentence().to_owned(),
        more => format!("{more} {}", operation.access.sentence()),
    };
    if operation.body_bytes_max != BODY_BYTES_MAX {
        description.push_str(&format!(" Its body has at most {} bytes.", operation.body_bytes_max));
    }
    let securities = match operation.access {
        // An empty list: without the requirement of the others.
        Access::Public => Vec::new(),
        Access::InPerson => vec![requirement("session")],
        _ => vec![requirement("token"), requirement("session")],
    };
    let body = operation.body.as_ref().map(|body| {
        let required = if body.is_optional { Required::False } else { Required::True };
        let content = |media_type: &&'static str| {
            (*media_type, ContentBuilder::new().schema(Some(body.schema.clone())).build())
        };
        body.media_types
            .iter()
            .map(content)
            .fold(RequestBodyBuilder::new().required(Some(required)), |built, (media_type, content)| {
                built.content(media_type, content)
            })
            .build()
    });
    let parameters = (!operation.parameters.is_empty()).then(|| operation.parameters.clone());
    OperationBuilder::new()
        .operation_id(Some(operation.id))
        .tag(operation.tag.words().0)
        .summary(Some(operation.summary))
        .description(Some(description))
        .parameters(parameters)
        .request_body(body)
        .securities(Some(securities))
        .responses(responses(operation).build())
        .build()
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, Vec::<String>::new())
}

/// The answer when all is well, and one for each status of a problem.
fn responses(operation: &Operation) -> ResponsesBuilder {
    let answer = &operation.answer;
    let mut good = ResponseBuilder::new().description(answer.description);
    if let (Some(media_type), schema) = (answer.media_type, &answer.schema) {
        good = good.content(media_type, ContentBuilder::new().schema(schema.clone()).build());
    }
    for (is_there, name, description) in [
        (answer.has_etag, "ETag", "The revision: send it back in If-Match with a change."),
        (answer.has_location, "Location", "Where what was made is."),
        (answer.has_link, "Link", "The next page (rel=\"next\"); absent on the last one."),
    ] {
        if is_there {
            good = good.header(name, text_header(description));
        }
    }
    let responses = ResponsesBuilder::new().response(answer.status.as_str(), good.build());
    let mut by_status: BTreeMap<StatusCode, Vec<Kind>> = BTreeMap::new();
    for kind in operation.all_problems() {
        by_status.entry(kind.status()).or_default().push(kind);
    }
    by_status
        .into_iter()
        .fold(responses, |responses, (status, kinds)| responses.response(status.as_str(), refusal(&kinds)))
}

fn refusal(kinds: &[Kind]) -> Response {
    let mut content = ContentBuilder::new().schema(Some(reference::<problem::Shown>()));
    let mut sentences = Vec::new();
    for kind in kinds {
        sentences.push(format!("{} (`{}`).", kind.title(), kind.slug()));
        let example = utoipa::openapi::example::ExampleBuilder::new()
            .summary(kind.title())
            .value(Some(Problem::example(*kind)));
        content = content.examples_from_iter([(kind.slug(), example.build())]);
    }
    ResponseBuilder::new()
        .description(sentences.join(" "))
        .content(problem::MEDIA_TYPE, content.build())
        .build()
}

fn text_header(description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::String).examples([json!("\"3\"")]);
    HeaderBuilder::new().schema(Some(schema.build())).description(Some(description)).build()
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory;
    use serde_json::Value;
    use utoipa::openapi::path::ParameterIn;

    use super::*;

    fn parsed() -> Value {
        serde_json::from_str(&TEXT).unwrap()
    }

    #[test]
    fn the_document_changes_only_when_somebody_means_it() {
        // As it was last agreed on: programs of others rely on it.
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/openapi.json");
        let agreed = std::fs::read_to_string(&file).unwrap();
        if agreed.trim_end() == TEXT.trim_end() {
            return;
        }
        if std::env::var_os("WEIR_AGREE").is_some() {
            std::fs::write(&file, format!("{}\n", TEXT.trim_end())).unwrap();
        } else {
            let line = agreed.lines().zip(TEXT.lines()).position(|(agreed, now)| agreed != now);
            panic!(
                "the API's document differs from {} at line {:?}; if that is meant, run the test with WEIR_AGREE=1 and commit the file",
                file.display(),
                line.map(|line| line + 1)
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_schema_is_left_over() {
        let document = parsed();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut used = BTreeSet::new();
        references(&document, &mut used);
        let known: BTreeSet<String> = schemas.keys().cloned().collect();
        assert_eq!(used, known);
    }

    #[test]
    fn what_may_be_left_out_of_a_query_is_not_asked_of_clients() {
        let mut required = BTreeSet::new();
        for operation in routes::operations() {
            let query = operation.parameters.iter().filter(|one| one.parameter_in == ParameterIn::Query);
            let needed = query.filter(|one| one.required == Required::True);
            required.extend(needed.map(|one| format!("{} {}", operation.id, one.name)));
        }
        let meant = [
            "getUsage from",
            "getUsage to",
            "listLineWindows resource",
            "listWindowReadings resource",
            "listWindowReadings window_start",
        ];
        assert_eq!(required, meant.map(str::to_owned).into());
    }

    #[test]
    fn no_two_types_share_a_name_so_that_one_is_described_by_the_others_words() {
        let mut known = BTreeMap::new();
        for (name, schema) in routes::operations().iter().flat_map(|operation| operation.schemas.clone()) {
            let schema = serde_json::to_value(schema).unwrap();
            let first = known.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(*first, schema, "{name} is the name of two types");
        }
    }

    #[test]
    fn every_operation_is_documented_with_its_problems_and_is_named_once() {
        let mut ids = BTreeSet::new();
        for operation in routes::operations() {
            assert!(ids.insert(operation.id), "{} is the id of two operations", operation.id);
            assert!(!operation.summary.is_empty() && !operation.summary.ends_with('.'), "{}", operation.id);
            let method = operation.method.as_str().to_lowercase();
            let described = &parsed()["paths"][operation.path][&method];
            assert_eq!(described["operationId"], operation.id);
            let responses = described["responses"].as_object().unwrap();
            assert!(responses.contains_key("503") && responses.contains_key("500"), "{}", operation.id);
            let needs_sign_in = operation.access != Access::Public;
            assert_eq!(responses.contains_key("401"), needs_sign_in, "{}", operation.id);
            for (status, response) in responses {
                let is_refusal = status.starts_with('4') || status.starts_with('5');
                let is_problem = response["content"].get(problem::MEDIA_TYPE).is_some();
                assert_eq!(is_refusal, is_problem, "{} {status}", operation.id);
            }
        }
    }

    /// The texts in backticks of docs/api.md.
    fn named() -> BTreeSet<String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
        let text = std::fs::read_to_string(file).unwrap();
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let below: Vec<_> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
        if below.is_empty() {
            found.push(path.to_owned());
        }
        below.iter().for_each(|one| leaves(one, &format!("{path} {}", one.get_name()), found));
    }

    #[test]
    fn every_command_has_its_operation_or_a_reason_why_it_has_none() {
        let (named, mut commands) = (named(), Vec::new());
        leaves(&crate::cli::args::Arguments::command(), "weir", &mut commands);
        let missing: Vec<_> = commands.iter().filter(|command| !named.contains(*command)).collect();
        assert!(missing.is_empty(), "docs/api.md does not say how these are done over HTTP: {missing:?}");
        let known: BTreeSet<String> =
            routes::operations().iter().map(|operation| operation.id.to_owned()).collect();
        let is_id = |word: &&String| {
            let starts = word.starts_with(|c: char| c.is_ascii_lowercase());
            starts && word.chars().all(char::is_alphabetic) && word.contains(|c: char| c.is_ascii_uppercase())
        };
        let wrong: Vec<_> = named.iter().filter(is_id).filter(|word| !known.contains(*word)).collect();
        assert!(wrong.is_empty(), "docs/api.md names operations that there are none of: {wrong:?}");
        let no_command: Vec<_> =
            named.iter().filter(|word| word.starts_with("weir ") && !commands.contains(word)).collect();
        assert!(no_command.is_empty(), "docs/api.md names commands that there are none of: {no_command:?}");
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    found.insert(name.rsplit('/').next().unwrap().to_owned());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
}
