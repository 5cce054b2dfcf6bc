//! What every page works on: the site, who looks at it, and the frame around the page. It does NOT decide who somebody
//! is ([`crate::auth`]) or what a page says ([`crate::pages`]).

use std::pin::Pin;
use std::sync::Arc;

use accounts::{Principal, Role};
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev, web};
use askama::Template;
use jiff::Timestamp;
use metering::NodeId;
use migrations::{Database, Scope};
use usage::registry::{self, Tenant};

use crate::assets::{ASSETS, Assets};
use crate::auth::SignedIn;
pub(crate) use crate::error::PageError;
use crate::settings::Portal;
use crate::show::Clock;

/// The version that pages and `/version` show.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Pages with data are nobody's to keep: not the browser's after a log-out, not a proxy's.
pub(crate) const NO_STORE: &str = "no-store";

/// What only the running process knows.
pub trait Live: Send + Sync {
    /// Batches of readings that are not in the database yet.
    fn waiting_batches(&self) -> u64;
    /// The node that this process meters itself, if it does.
    fn own_node(&self) -> Option<NodeId> {
        None
    }
    /// What an operator should see at once, in sentences.
    fn warnings(&self) -> Vec<String>;
}

/// What the routes work on.
pub(crate) struct Site {
    pub database: Database,
    pub live: Arc<dyn Live>,
    pub settings: Portal,
}

/// Who looks at a page, and in which zone. As an extractor it sends everybody else to the log-in page.
///
/// It does not know whether this page is for this role: ask `must_be_provider`, `must_see_money`, `must_see_nodes`.
pub(crate) struct Viewer {
    pub principal: Principal,
    /// The tenant whose user it is; none of the provider's.
    pub tenant: Option<Tenant>,
    /// The tenant's zone; UTC for the provider.
    pub clock: Clock,
}

/// The frame around a page. Every page's struct has one as `layout`; `base.html` shows it.
pub(crate) struct Layout {
    pub nav: Vec<NavItem>,
    pub user: Option<UserBadge>,
    /// What zone the page's times are in: `UTC`.
    pub zone: String,
    pub version: &'static str,
    pub assets: &'static Assets,
}

/// A way to go.
pub(crate) struct NavItem {
    pub href: &'static str,
    pub label: &'static str,
    pub is_here: bool,
}

/// Who is logged in.
pub(crate) struct UserBadge {
    pub display_name: String,
    /// `Provider`, or the tenant's name.
    pub belongs_to: String,
}

/// A page that the navigation leads to: its path, its name, and who finds it there.
type NavPage = (&'static str, &'static str, fn(&Principal) -> bool);

/// All of them, in order.
const NAV: [NavPage; 10] = [
    ("/", "Overview", |_| true),
    ("/instances", "Instances", |_| true),
    ("/usage", "Usage", Principal::sees_money),
    ("/invoices", "Invoices", Principal::sees_money),
    ("/account", "Account", |principal| principal.tenant_id().is_some()),
    ("/budget", "Budget", |principal| principal.tenant_id().is_some()),
    ("/allowances", "Allowances", Principal::sees_money),
    ("/tenants", "Tenants", Principal::is_provider),
    ("/capacity", "Capacity", |principal| principal.tenant_id().is_none()),
    ("/status", "Status", |_| true),
];

impl Viewer {
    /// What the database shows them.
    pub(crate) fn scope(&self) -> Scope {
        self.principal.scope()
    }

    /// The frame of the page that `here` (a path of the navigation) leads to.
    pub(crate) fn layout(&self, here: &str) -> Layout {
        let nav = NAV.iter().filter(|(_, _, is_for)| is_for(&self.principal));
        let user = &self.principal.user;
        Layout {
            nav: nav.map(|&(href, label, _)| NavItem { href, label, is_here: href == here }).collect(),
            user: Some(UserBadge {
                display_name: user.display_name.clone(),
                belongs_to: match (user.role, &self.tenant) {
                    (Role::Provider, _) => "Provider".to_owned(),
                    (Role::Planner, _) => "Capacity planner".to_owned(),
                    (Role::Tenant, Some(tenant)) => tenant.display_name.clone(),
                    (Role::Tenant, None) => String::new(),
                },
            }),
            zone: self.clock.zone_name().to_owned(),
            ..Layout::bare()
        }
    }

    /// # Errors
    /// It is a tenant's user or the planner.
    pub(crate) fn must_be_provider(&self) -> Result<(), PageError> {
        match self.principal.is_provider() {
            true => Ok(()),
            false => Err(PageError::Forbidden("This page is for the provider.")),
        }
    }

    /// # Errors
    /// It is the planner.
    pub(crate) fn must_see_money(&self) -> Result<(), PageError> {
        match self.principal.sees_money() {
            true => Ok(()),
            false => Err(PageError::Forbidden("This page shows money, which capacity planners do not see.")),
        }
    }

    /// # Errors
    /// It is a tenant's user.
    pub(crate) fn must_see_nodes(&self) -> Result<(), PageError> {
        match self.principal.tenant_id() {
            None => Ok(()),
            Some(_) => Err(PageError::Forbidden("This page is for the provider and its capacity planners.")),
        }
    }
}

impl FromRequest for Viewer {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let signed_in = SignedIn::extract(request);
        let site = request.app_data::<web::Data<Site>>().cloned();
        Box::pin(async move {
            let SignedIn(principal) = signed_in.await?;
            let site = site.ok_or_else(|| PageError::failed("the application has no site"))?;
            Ok(viewer(&site.database, principal).await?)
        })
    }
}

impl Layout {
    /// The frame of a page for nobody in particular: no navigation, UTC.
    pub(crate) fn bare() -> Self {
        Self { nav: Vec::new(), user: None, zone: "UTC".to_owned(), version: VERSION, assets: &ASSETS }
    }
}

/// The page as an answer.
///
/// # Errors
/// It could not be rendered.
pub(crate) fn html(page: &impl Template) -> Result<HttpResponse, PageError> {
    Ok(html_body(page.render()?))
}

/// Finished HTML as an answer.
pub(crate) fn html_body(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .body(body)
}

/// The clock of the walls: pages ask it here and nowhere else.
pub(crate) fn now() -> Timestamp {
    metering::micros(Timestamp::now())
}

async fn viewer(database: &Database, principal: Principal) -> Result<Viewer, PageError> {
    let Some(tenant_id) = principal.tenant_id() else {
        return Ok(Viewer { principal, tenant: None, clock: Clock::utc() });
    };
    let tenant = registry::find_tenant(database, principal.scope(), &tenant_id.to_string()).await?;
    let clock = Clock::of_zone(&tenant.time_zone);
    Ok(Viewer { principal, tenant: Some(tenant), clock })
}
