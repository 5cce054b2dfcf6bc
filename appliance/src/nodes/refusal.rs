//! How the listener says no: a status, and a problem that the node understands.

use ::nodes::NodesError;
use ::nodes::access::AccessError;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use collector::SinkError;
use jiff::Timestamp;

use super::wire::{Kind, Problem, micros};

use crate::causes::chain;

/// A no.
pub struct Refusal {
    status: StatusCode,
    problem: Problem,
    /// The body was not read: the connection is of no more use.
    closes: bool,
}

impl Refusal {
    /// With a status and what the node should do.
    pub fn new(status: StatusCode, kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem { kind, reason: reason.into(), known_until: None, server_time_us: None },
            closes: false,
        }
    }

    /// The body was not read to its end.
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// As it goes back.
    pub fn response(mut self) -> HttpResponse {
        self.problem.server_time_us = Some(micros(Timestamp::now()));
        let mut response = HttpResponse::build(self.status);
        if self.closes {
            response.force_close();
        }
        response.json(self.problem)
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        let (status, kind) = match &error {
            AccessError::Expired { .. } => (StatusCode::UNAUTHORIZED, Kind::Expired),
            AccessError::Unknown
            | AccessError::Revoked { .. }
            | AccessError::LongExpired { .. }
            | AccessError::Barred { .. } => (StatusCode::FORBIDDEN, Kind::Barred),
            AccessError::Waits { .. } => (StatusCode::CONFLICT, Kind::Wait),
            AccessError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, Kind::Away),
        };
        if let AccessError::Store(source) = &error {
            tracing::error!("a node could not be looked up: {}", chain(source));
        }
        Self::new(status, kind, error.to_string())
    }
}

impl From<NodesError> for Refusal {
    /// Of joining and renewing. What failed here is not told to strangers.
    fn from(error: NodesError) -> Self {
        let status = match &error {
            NodesError::NoToken | NodesError::Request(_) | NodesError::Name { .. } => StatusCode::BAD_REQUEST,
            NodesError::TokenRefused { .. } | NodesError::TokenUnknown => StatusCode::FORBIDDEN,
            NodesError::NameTaken { .. } | NodesError::IdentityTaken { .. } | NodesError::OwnIdentity => {
                StatusCode::CONFLICT
            }
            _ => {
                tracing::error!("a node was not served: {}", chain(&error));
                let reason = "the control plane cannot do it now; try again";
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Away, reason);
            }
        };
        Self::new(status, Kind::Refused, chain(&error))
    }
}

impl From<SinkError> for Refusal {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Away(source) => {
                tracing::error!("a batch was not stored: {}", chain(source.as_ref()));
                let reason = "the control plane cannot store readings now";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Away, reason)
            }
            SinkError::Behind { known_until } => {
                let reason = format!("batches up to {known_until} are known here");
                let mut refusal = Self::new(StatusCode::CONFLICT, Kind::Behind, reason);
                refusal.problem.known_until = Some(known_until.0);
                refusal
            }
            SinkError::Refused { reason } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, Kind::Refused, reason)
            }
            SinkError::Barred { reason } => Self::new(StatusCode::FORBIDDEN, Kind::Barred, reason),
        }
    }
}
