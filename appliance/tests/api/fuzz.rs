//! schemathesis tries the API by its document, with all of its checks: no failure of the server, no undocumented answer,
//! nothing taken that the document forbids, nothing refused that it allows.

use std::process::Command;

use crate::client::Cloud;
use crate::seed;

/// How long, unless `WEIR_FUZZ_SECONDS` says otherwise: all of the fixed phases, and something of the random ones.
const SECONDS: &str = "60";
/// What the random phases of the short run draw from: `make test` says of the same code the same. `make fuzz` draws anew.
const SEED: &str = "20261122";

#[test]
fn no_request_that_the_document_describes_or_forbids_is_answered_otherwise() {
    let cloud = Cloud::start();
    cloud.runtime.block_on(seed::past(&cloud.database));
    let tools = testbed::browser::python_tools().unwrap();
    let asked = std::env::var("WEIR_FUZZ_SECONDS").ok();
    let drawn: &[&str] = if asked.is_none() { &["--seed", SEED] } else { &[] };
    let output = Command::new(tools.join("bin/schemathesis"))
        .current_dir(cloud.dir.path())
        .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/schemathesis.toml")])
        .args(["run", &format!("http://{}/openapi.json", cloud.up.address())])
        .args(["--header", &format!("Authorization: Bearer {}", cloud.provider)])
        .args([
            "--checks",
            "all",
            "--continue-on-failure",
            "--no-color",
            "--max-time",
            asked.as_deref().unwrap_or(SECONDS),
        ])
        .args(drawn)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // It was let in until the end, and tried what it could not break.
    cloud.get(&cloud.provider, "/v1/me").fine(200);
    assert!(said.contains("Tested:"), "{said}");
    assert!(cloud.up.stop().success());
}
