//! The pages, one module each: find the data in the viewer's scope, decide what is shown, fill the template. Nothing is
//! computed about usage or money here, and nothing is decided in templates.
//!
//! A page's handler takes [`crate::site::Viewer`], which sends strangers to the log-in; one that changes something takes
//! [`crate::auth::Writer`] or [`crate::auth::InPerson`] too. Its template extends `base.html` and has a field `layout`.

mod account;
mod allowances;
mod bill;
mod budget;
mod capacity;
mod conflict;
mod corrections;
mod figures;
mod instance;
mod instances;
mod invoices;
mod login;
mod overview;
mod plan;
mod quota_form;
mod status;
mod tenants;
mod tokens;
mod usage;
mod webhooks;
mod why;

use actix_web::web::ServiceConfig;

/// Adds the routes of every page.
pub(crate) fn routes(config: &mut ServiceConfig) {
    account::routes(config);
    allowances::routes(config);
    budget::routes(config);
    capacity::routes(config);
    corrections::routes(config);
    instance::routes(config);
    instances::routes(config);
    invoices::routes(config);
    login::routes(config);
    overview::routes(config);
    plan::routes(config);
    status::routes(config);
    tenants::routes(config);
    tokens::routes(config);
    usage::routes(config);
    webhooks::routes(config);
    why::routes(config);
}
