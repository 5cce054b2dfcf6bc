//! Operations: one value says what an operation is called, who may do it, what it takes and what it answers. Its route and
//! its part of the OpenAPI document are both made from it, so that neither can exist without the other.
//!
//! It does not know any particular operation; `routes` does.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, Route, guard, web};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::call::{BODY_BYTES_MAX, Call, Rules};
use super::cursor;
use super::idempotency;
use super::identity::Access;
use super::page;
use super::problem::{Kind, Problem};

/// JSON, as it is taken and answered.
pub const JSON: &str = "application/json";
/// What `PATCH` takes besides: absent fields stay, `null` takes away (RFC 7386).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Schemas by name.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

type Handling = Pin<Box<dyn Future<Output = Result<HttpResponse, Problem>>>>;

/// An operation.
#[derive(Clone)]
pub struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: Tag,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) access: Access,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answer: Answer,
    pub(super) problems: Vec<Kind>,
    pub(super) schemas: Schemas,
    pub(super) body_bytes_max: usize,
    is_once: bool,
    handler: Rc<dyn Fn(Call) -> Handling>,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// Users and tokens.
    Accounts,
    /// Tenants.
    Tenants,
    /// Quotas and budgets.
    Limits,
    /// Instances and images.
    Instances,
    /// Usage and meters.
    Usage,
    /// Invoices and why they are what they are.
    Invoices,
    /// Prices, taxes and exchange rates.
    Prices,
    /// Nodes and capacity.
    Capacity,
    /// Mail.
    Mail,
    /// Webhooks.
    Webhooks,
    /// The API itself.
    Api,
}

/// A body that an operation takes.
#[derive(Clone)]
pub(super) struct Body {
    pub(super) schema: RefOr<Schema>,
    pub(super) media_types: &'static [&'static str],
    pub(super) is_optional: bool,
}

/// What an operation answers when all is well.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media_type: Option<&'static str>,
    pub(super) schema: Option<RefOr<Schema>>,
    pub(super) description: &'static str,
    pub(super) has_etag: bool,
    pub(super) has_location: bool,
    pub(super) has_link: bool,
}

impl Operation {
    /// An operation, for everybody who is signed in until said otherwise.
    pub fn new<F, R>(
        method: Method,
        path: &'static str,
        id: &'static str,
        tag: Tag,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        F: Fn(Call) -> R + 'static,
        R: Future<Output = Result<HttpResponse, Problem>> + 'static,
    {
        Self {
            method,
            path,
            id,
            tag,
            summary,
            description: "",
            access: Access::Everyone,
            parameters: path_parameters(path),
            body: None,
            answer: Answer {
                status: StatusCode::NO_CONTENT,
                media_type: None,
                schema: None,
                description: "It was done.",
                has_etag: false,
                has_location: false,
                has_link: false,
            },
            problems: Vec::new(),
            schemas: Vec::new(),
            body_bytes_max: BODY_BYTES_MAX,
            is_once: false,
            handler: Rc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// Says more than the summary.
    #[must_use]
    pub fn saying(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// Says who may.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Takes a query parameter.
    #[must_use]
    pub fn query(mut self, parameter: ParameterBuilder) -> Self {
        self.parameters.push(parameter.build());
        self
    }

    /// Takes `limit` and `cursor`, and answers with a page of `T`.
    #[must_use]
    pub fn pages<T: ToSchema>(self) -> Self {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(page::LIMIT_MAX))
            .default(Some(page::LIMIT_DEFAULT.into()));
        let cursor = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(cursor::CURSOR_MAX))
            .pattern(Some("^[A-Za-z0-9_-]+$"));
        let mut paged = self.query(parameter("limit", limit.into(), "How many items.")).query(parameter(
            "cursor",
            cursor.into(),
            "`next` of the page before: where to go on.",
        ));
        T::schemas(&mut paged.schemas);
        paged.schemas.push((T::name().into_owned(), T::schema()));
        let items = ArrayBuilder::new().items(reference::<T>());
        let next = ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("The cursor of the next page; null on the last one."));
        let body = ObjectBuilder::new()
            .property("items", items)
            .property("next", next)
            .required("items")
            .required("next");
        paged.problems.push(Kind::InvalidCursor);
        paged.answer = Answer {
            status: StatusCode::OK,
            media_type: Some(JSON),
            schema: Some(Schema::Object(body.build()).into()),
            description: "A page.",
            has_link: true,
            ..paged.answer
        };
        paged
    }

    /// Takes a body.
    #[must_use]
    pub fn takes<T: ToSchema>(mut self) -> Self {
        self.add_schema::<T>();
        let media_types: &[&str] = if self.method == Method::PATCH { &[JSON, MERGE_PATCH] } else { &[JSON] };
        self.body = Some(Body { schema: reference::<T>(), media_types, is_optional: false });
        self
    }

    /// Takes a body of so many bytes.
    #[must_use]
    pub fn up_to(self, bytes: usize) -> Self {
        Self { body_bytes_max: bytes, ..self }
    }

    /// Takes a body that may be left out.
    #[must_use]
    pub fn may_take<T: ToSchema>(self) -> Self {
        let mut takes = self.takes::<T>();
        takes.body = takes.body.map(|body| Body { is_optional: true, ..body });
        takes
    }

    /// Answers with `T`.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, description: &'static str) -> Self {
        self.add_schema::<T>();
        let schema = Some(reference::<T>());
        self.answer =
            Answer { status: StatusCode::OK, media_type: Some(JSON), schema, description, ..self.answer };
        self
    }

    /// Answers with a list of `T`, whole.
    #[must_use]
    pub fn lists<T: ToSchema>(mut self, description: &'static str) -> Self {
        self.add_schema::<T>();
        let items = ArrayBuilder::new().items(reference::<T>());
        let body = ObjectBuilder::new().property("items", items).required("items");
        self.answer = Answer {
            status: StatusCode::OK,
            media_type: Some(JSON),
            schema: Some(Schema::Object(body.build()).into()),
            description,
            ..self.answer
        };
        self
    }

    /// Answers with what was made, and where it is.
    #[must_use]
    pub fn creates<T: ToSchema>(self, description: &'static str) -> Self {
        let answers = self.answers::<T>(description);
        Self {
            answer: Answer { status: StatusCode::CREATED, has_location: true, ..answers.answer },
            ..answers
        }
    }

    /// Answers with an object of a shape that others describe.
    #[must_use]
    pub fn answers_object(self, description: &'static str) -> Self {
        let schema = Some(Schema::Object(ObjectBuilder::new().schema_type(Type::Object).build()).into());
        let answer =
            Answer { status: StatusCode::OK, media_type: Some(JSON), schema, description, ..self.answer };
        Self { answer, ..self }
    }

    /// Answers with bytes of another kind.
    #[must_use]
    pub fn answers_bytes(self, media_type: &'static str, description: &'static str) -> Self {
        let schema = ObjectBuilder::new().schema_type(Type::String).content_media_type(media_type);
        let schema = Some(Schema::Object(schema.build()).into());
        let answer = Answer {
            status: StatusCode::OK,
            media_type: Some(media_type),
            schema,
            description,
            ..self.answer
        };
        Self { answer, ..self }
    }

    /// Answers with an `ETag`; a change must bring it back in `If-Match`.
    #[must_use]
    pub fn versioned(mut self) -> Self {
        self.answer.has_etag = self.method != Method::DELETE;
        if !self.method.is_safe() && self.method != Method::POST {
            let schema = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r#"^("[0-9]{1,18}"|\*)$"#))
                .examples([serde_json::json!("\"3\"")]);
            let parameter = ParameterBuilder::new()
                .name("If-Match")
                .parameter_in(ParameterIn::Header)
                .required(Required::True)
                .description(Some(
                    "The ETag of what is changed, as it was got: a change that somebody else made meanwhile is not overwritten. `*` overwrites it.",
                ))
                .schema(Some(Schema::Object(schema.build())));
            self.parameters.push(parameter.build());
            self.problems.extend([Kind::PreconditionRequired, Kind::Stale, Kind::InvalidHeader]);
        }
        self
    }

    /// Takes an `Idempotency-Key`: with one, it is done once, however often it is sent. See [`Call::thing_id`].
    #[must_use]
    pub fn once(mut self) -> Self {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(idempotency::KEY_MAX))
            .pattern(Some("^[!-~]+$"))
            .examples([serde_json::json!("6b1f1c0e-6d0b-4f0e-9a2b-0d1f5b0c7a11")]);
        let parameter = ParameterBuilder::new()
            .name(idempotency::HEADER)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "A random UUID for each thing that is to be made: a request that is sent again with its key, within 24 hours, is answered as before and makes nothing more.",
            ))
            .schema(Some(Schema::Object(schema.build())));
        self.parameters.push(parameter.build());
        self.problems.extend([Kind::InvalidHeader, Kind::Conflict, Kind::Unprocessable]);
        self.is_once = true;
        self
    }

    /// May be refused so, too.
    #[must_use]
    pub fn refuses(mut self, kinds: &[Kind]) -> Self {
        self.problems.extend(kinds);
        self
    }

    /// All kinds of problems that it may answer with.
    #[must_use]
    pub(super) fn all_problems(&self) -> Vec<Kind> {
        let mut kinds = self.problems.clone();
        kinds.extend([Kind::InvalidQuery, Kind::Internal, Kind::Unavailable]);
        if self.access != Access::Public {
            kinds.push(Kind::NotSignedIn);
        }
        let is_change = !self.method.is_safe();
        if self.access.refuses_somebody() || (is_change && self.access != Access::Public) {
            kinds.push(Kind::Forbidden);
        }
        if self.path.contains('{') {
            kinds.push(Kind::NotFound);
        }
        let has_query = self.parameters.iter().any(|parameter| parameter.parameter_in == ParameterIn::Query);
        if has_query || self.body.is_some() {
            kinds.push(Kind::Unprocessable);
        }
        if is_change {
            kinds.extend([Kind::TooSlow, Kind::TooLarge, Kind::MalformedJson, Kind::InvalidBody]);
        }
        if self.body.is_some() {
            kinds.push(Kind::UnsupportedMediaType);
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Its route.
    #[must_use]
    pub(super) fn route(&self) -> Route {
        let rules = Rc::new(Rules {
            access: self.access,
            query: self
                .parameters
                .iter()
                .filter(|parameter| parameter.parameter_in == ParameterIn::Query)
                .map(|parameter| parameter.name.clone())
                .collect(),
            media_types: self.body.as_ref().map_or(&[], |body| body.media_types),
            body_is_optional: self.body.as_ref().is_some_and(|body| body.is_optional),
            body_bytes_max: self.body_bytes_max,
            is_once: self.is_once,
        });
        let handler = Rc::clone(&self.handler);
        let route = match self.method {
            // Whoever answers GET answers HEAD (RFC 9110, section 9.3.2).
            Method::GET => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
            ref method => web::method(method.clone()),
        };
        route.to(move |request: HttpRequest, payload: web::Payload| {
            let (rules, handler) = (Rc::clone(&rules), Rc::clone(&handler));
            async move {
                let call = Call::read(request, payload, &rules).await?;
                if rules.is_once {
                    idempotency::once(call, |call| handler(call)).await
                } else {
                    handler(call).await
                }
            }
        })
    }

    fn add_schema<T: ToSchema>(&mut self) {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
    }
}

impl Tag {
    /// Its name and what it is about.
    #[must_use]
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Accounts => ("accounts", "Users and their API tokens."),
            Self::Tenants => ("tenants", "Who pays."),
            Self::Limits => {
                ("limits", "Quotas on what is held at once, budgets on what is spent in a month.")
            }
            Self::Instances => ("instances", "Guests, their charts, and what they boot from."),
            Self::Usage => ("usage", "What was used, by meter."),
            Self::Invoices => ("invoices", "Invoices, down to the readings that they stand on."),
            Self::Prices => {
                ("prices", "What things cost: price plans, tenants' own terms, taxes and exchange rates.")
            }
            Self::Capacity => {
                ("capacity", "Nodes: how full they are, how they are doing, and what is wrong.")
            }
            Self::Mail => ("mail", "What was or is to be sent."),
            Self::Webhooks => ("webhooks", "Who is told of what happens, as it happens."),
            Self::Api => ("api", "This document."),
        }
    }

    /// All of them.
    pub(super) const ALL: [Tag; 11] = [
        Self::Accounts,
        Self::Tenants,
        Self::Limits,
        Self::Instances,
        Self::Usage,
        Self::Invoices,
        Self::Prices,
        Self::Capacity,
        Self::Mail,
        Self::Webhooks,
        Self::Api,
    ];
}

/// A query parameter that may be left out.
#[must_use]
pub fn parameter(name: &str, schema: Object, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        // Before it may be left out: what has no place yet is taken for a part of the path, which may not.
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(Schema::Object(schema)))
}

/// A parameter that is text.
#[must_use]
pub fn text(name: &str, description: &str) -> ParameterBuilder {
    parameter(name, ObjectBuilder::new().schema_type(Type::String).build(), description)
}

/// A parameter that is one of some words.
#[must_use]
pub fn one_of(name: &str, words: &[&str], description: &str) -> ParameterBuilder {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied()));
    parameter(name, schema.build(), description)
}

/// A parameter that is a day.
#[must_use]
pub fn day(name: &str, description: &str) -> ParameterBuilder {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)));
    parameter(name, schema.build(), description)
}

/// A parameter that is an instant.
#[must_use]
pub fn instant(name: &str, description: &str) -> ParameterBuilder {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    parameter(name, schema.build(), description)
}

/// A parameter that is an id.
#[must_use]
pub fn id(name: &str, description: &str) -> ParameterBuilder {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    parameter(name, schema.build(), description)
}

/// The parameters that the braces of a path name.
fn path_parameters(path: &str) -> Vec<Parameter> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    names.map(path_parameter).collect()
}

fn path_parameter(name: &str) -> Parameter {
    let (schema, description): (Object, &str) = match name {
        "tenant" => (plain_text(64), "The tenant's name or id."),
        "number" => (plain_text(40), "The invoice's number."),
        "name" => (plain_text(63), "Its name."),
        "kind" => (plain_text(40), "The last part of a problem's `type`."),
        "n" => {
            let number =
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(100_000));
            (number.build(), "The line's place on the invoice, from 1.")
        }
        _ => {
            let id = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
            (id.build(), "Its id.")
        }
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(Schema::Object(schema)))
        .build()
}

fn plain_text(length: usize) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(length));
    text.build()
}

/// A reference to the schema of `T` among the components.
#[must_use]
pub(super) fn reference<T: ToSchema + PartialSchema>() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(T::name()))
}
