//! A machine becomes a node, or is refused.

use super::site::{Node, Site, try_join, wait_until};

fn refused(output: &std::process::Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.lines().count() == 1, "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
}

#[test]
fn a_machine_joins_is_metered_drained_and_removed_and_holds_what_is_not_taken_any_more() {
    let site = Site::start(&[]);
    let node = Node::run(&site.join("kvm-2"));
    wait_until("readings arrive", || 2 < site.last_seq("kvm-2"));
    let shown = site.node("kvm-2");
    assert_eq!(shown["state"], "active");
    assert!(shown["certificate_expires_at"].is_string() && shown["last_heard_at"].is_string(), "{shown}");
    assert_eq!(node.status()["node"], "kvm-2");
    assert_eq!(site.up().ask(&["node", "drain", "kvm-2"])["node"]["state"], "draining");
    assert_eq!(site.up().ask(&["node", "drain", "kvm-2", "--undo"])["node"]["state"], "active");
    site.up().ask(&["node", "remove", "kvm-2", "--force"]);
    assert!(site.up().ask(&["node", "list"])["nodes"].as_array().unwrap().is_empty());
    wait_until("the node knows that it was removed", || node.problem().contains("removed"));
    wait_until("it holds its readings", || node.status()["batches_waiting"].as_u64() > Some(1));
    assert_eq!(site.alerts("node_barred"), 1);
    site.assert_ledger_is_whole();
    node.stop();
}

#[test]
fn a_stolen_token_that_was_used_is_worth_nothing() {
    let site = Site::start(&[]);
    let token = site.token();
    let first = try_join(&site.dir.path().join("a"), &site.url(), &token, &["--name", "a", "--only-join"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let second = try_join(&site.dir.path().join("b"), &site.url(), &token, &["--name", "b", "--only-join"]);
    refused(&second, &["was used at", "weir node token create"]);
    assert!(!site.dir.path().join("b/node.json").exists());
    assert_eq!(site.count("SELECT count(*) FROM node_certificate"), 1);
}

#[test]
fn somebody_in_the_middle_with_an_authority_of_his_own_is_not_even_sent_the_token() {
    let (site, other) = (Site::start(&[]), Site::start(&[]));
    let token = site.token();
    let data = site.dir.path().join("a");
    let joined = try_join(&data, &other.url(), &token, &["--name", "a", "--only-join"]);
    refused(&joined, &["not the control plane that this token is from", "Nothing was sent"]);
    // It is still good where it is from.
    let joined = try_join(&data, &site.url(), &token, &["--name", "a", "--only-join"]);
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
}

#[test]
fn mistakes_in_joining_are_told_in_one_sentence_with_the_way_out() {
    let site = Site::start(&[]);
    let (url, token) = (site.url(), site.token());
    let data = site.dir.path().join("a");
    refused(&try_join(&data, &url, "weir-join-x", &[]), &["no join token", "weir node token create"]);
    refused(&try_join(&data, &url.replace("https", "http"), &token, &[]), &["https://"]);
    let pages = format!("https://{}", site.up().address());
    refused(&try_join(&data, &pages, &token, &[]), &["does not speak TLS", "nodes.listen"]);
    refused(&try_join(&data, "https://127.0.0.1:1", &token, &[]), &["cannot be reached", "firewall"]);
    refused(&try_join(&data, &url, &token, &["--name", "a b"]), &["no name for a node"]);
    refused(&try_join(&site.dir.path().join("control"), &url, &token, &[]), &["already runs"]);
    let run = crate::running::weir(&["node", "run", "--data", data.to_str().unwrap()]);
    refused(&run, &["no node yet", "weir node token create"]);
    // None of it has spent the token.
    let joined = try_join(&data, &url, &token, &["--only-join"]);
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
}

#[test]
fn a_control_plane_that_listens_to_no_nodes_says_how_to_change_that() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(migrations::testing::database());
    let up = crate::running::Weir::start(dir.path(), &["--database-url", database.owner_url()]);
    let output = up.run(&["node", "token", "create"]);
    refused(&output, &["no node is let in", "--nodes-listen"]);
    assert!(up.stop().success());
}
