//! Brings `schemas/` up to date: `cargo run -p capstan-contract --example regenerate`.

use std::path::Path;

#[expect(clippy::print_stdout, reason = "a tool for people")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    for path in capstan_contract::schema_files::regenerate(&schemas)? {
        println!("wrote schemas/{}", path.display());
    }
    Ok(())
}
