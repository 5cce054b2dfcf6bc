//! Capacity, by the command line: the same view as the page's and the PDF's.

use anyhow::Result;
use jiff::Timestamp;
use reports::capacity::{self, CapacityView, NodeView, ResourceView, Share};
use serde_json::{Value, json};

use super::Answer;
use crate::parts::Parts;

/// Figures and forecasts.
pub async fn value(parts: &Parts) -> Result<Value> {
    let view = view(parts).await?;
    let rows: Vec<Value> = view.total.iter().chain(&view.nodes).flat_map(rows).collect();
    let mut value = serde_json::to_value(&view)?;
    value["rows"] = json!(rows);
    Ok(value)
}

/// As a document.
pub async fn pdf(parts: &Parts) -> Result<Answer> {
    let view = view(parts).await?;
    let bytes = tokio::task::spawn_blocking(move || capacity::capacity_pdf(&view)).await??;
    Ok(Answer::Document { bytes, content_type: "application/pdf" })
}

async fn view(parts: &Parts) -> Result<CapacityView> {
    let nodes = usage::capacity::nodes(&parts.database).await?;
    Ok(capacity::view(&nodes, Timestamp::now()))
}

/// A line of the table for each resource of a node.
fn rows(node: &NodeView) -> [Value; 3] {
    [&node.cpu, &node.memory, &node.storage].map(|resource| row(node, resource))
}

fn row(node: &NodeView, resource: &ResourceView) -> Value {
    let forecasts: Vec<&str> = resource.forecasts.iter().map(|forecast| forecast.sentence.as_str()).collect();
    json!({
        "node": node.name,
        "what": resource.title,
        "physical": resource.physical.text,
        "allocated": in_words(&resource.allocated),
        "used": resource.used.as_ref().map(in_words),
        "forecast": forecasts.join("\n"),
    })
}

/// `3.5 GiB (22 %)`
fn in_words(share: &Share) -> String {
    format!("{} ({})", share.amount.text, share.percent_text)
}
