//! Makes cargo rebuild the crate when a migration is added or edited: the embedding macro reads the directory
//! behind cargo's back.

fn main() {
    println!("cargo::rerun-if-changed=sql");
}
