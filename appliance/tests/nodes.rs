//! Further nodes: a control plane and nodes as real processes, joined over TLS on loopback. libvirt's test driver stands in
//! for the hypervisor; real guests on two nodes are the demo's business.

mod running;

mod nodes {
    mod attacks;
    mod bodies;
    mod clocks;
    mod copies;
    mod joining;
    mod member;
    mod namespaces;
    mod outages;
    mod site;
}
