//! Capacity: how full the nodes are, and when they are full.
//!
//! What is physical, allocated and used comes from `usage::capacity`; here it is put in rows ready to show, with a
//! forecast for each that can fill. It reads no clock and no database, and knows no money.

mod amounts;
mod forecast;
mod paper;
mod theil_sen;
mod view;

pub use amounts::{Amount, Share, Unit};
pub use forecast::{
    DAYS_BACK_MAX, DAYS_MIN, DaysUntilFull, Forecast, HORIZON_DAYS, Line, Trend, Verdict, forecast,
};
pub use paper::capacity_pdf;
pub use view::{
    CapacityView, DAY_OBSERVED_MIN, FillsFirst, ForecastView, NodeView, ResourceView, SILENT_AFTER,
    STALE_DAYS, view,
};
