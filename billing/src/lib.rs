#![doc = include_str!("../README.md")]

pub mod account;
pub mod books;
pub mod budget;
pub mod country;
pub mod exchange;
pub mod invoice;
pub mod limits;
pub mod money;
pub mod period;
pub mod plan;
pub mod quota;
pub mod rating;
pub mod store;
pub mod tax;
pub mod terms;
pub mod usage_file;
pub mod webhooks;

pub use exchange::ExchangeRate;
pub use invoice::document::{
    Completeness, Conversion, DocumentKind, DocumentRef, InstanceUsage, InvoiceDocument, InvoiceId,
    InvoiceLine, InvoiceStatus, LineKind, Party, PlanRef, Tax, TaxCode, TierBounds, UnpricedUsage,
};
pub use invoice::draft::{Bill, Buyer, draft, due_on, simulate};
pub use invoice::issue::{Basis, Held, IssueError, Issued, hold, issue};
pub use invoice::lifecycle::{Desk, Stage};
pub use invoice::series::Series;
pub use money::{Currency, Money};
pub use plan::{PlanErrors, PlanVersion, PriceModel, PricePlan, RateCard, TaxRule};
pub use rating::{RatedLine, Rating, RatingError, RatingInput, rate};
pub use store::{drafts, effective, empty_periods, invoices, plans, rechecks, runs};
pub use tax::{TaxRate, Taxation};
