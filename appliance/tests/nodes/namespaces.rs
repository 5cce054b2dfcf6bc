//! A node in a network namespace of its own, with its own libvirtd, on a line that can be cut.

use std::time::Duration;

use testbed::second_node::SecondNode;

use super::site::{Node, RUN, Site, wait_until, weir};

#[test]
fn a_node_on_a_line_of_its_own_joins_delivers_and_catches_up_when_the_line_was_cut() {
    let name = format!("weirt-nodes-{}", std::process::id());
    let second = SecondNode::start(&name).unwrap();
    let site = Site::start_at(second.control_address(), &[]);
    let data = site.dir.path().join("kvm-2");
    let mut join = weir();
    join.env("WEIR__COLLECTOR__LIBVIRT_URI", "qemu:///system");
    join.args(["node", "join", &site.url(), "--token", &site.token(), "--name", "kvm-2", "--only-join"]);
    join.arg("--data").arg(&data);
    second.run(&mut join).unwrap();
    let mut run = weir();
    run.env("WEIR__COLLECTOR__LIBVIRT_URI", "qemu:///system").args(RUN).arg(&data);
    let node = Node::run_as(&data, second.inside(&run));
    wait_until("readings arrive", || 1 < site.last_seq("kvm-2"));
    assert_eq!(node.status()["libvirt_connected"], true);
    second.cut_line().unwrap();
    wait_until("readings wait", || node.status()["batches_waiting"].as_u64() > Some(4));
    // So long that packets under way are gone.
    std::thread::sleep(Duration::from_secs(1));
    second.mend_line().unwrap();
    wait_until("the backlog is delivered", || {
        node.status()["batches_waiting"].as_u64().is_some_and(|waiting| waiting <= 1)
    });
    node.stop();
    site.assert_ledger_is_whole();
}
