//! A new step under `sql/` is a reason to build again.

fn main() {
    println!("cargo:rerun-if-changed=sql");
}
