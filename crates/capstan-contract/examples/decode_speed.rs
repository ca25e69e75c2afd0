//! Measures how fast this build reads events: `cargo run --release -p capstan-contract --example decode_speed`.
//!
//! Reads every sample of category `task` in turn on one core, as a projector that follows the log does.

use std::path::Path;
use std::time::{Duration, Instant};

use capstan_contract::schema_files::sample_path;
use capstan_contract::{CATALOGUE, DomainEvent, EventName};
use capstan_envelope::EventRecord;
use serde_json::value::RawValue;

const ROUND: Duration = Duration::from_millis(500);

fn record(event: &EventName) -> Result<EventRecord, Box<dyn std::error::Error>> {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let sample: Box<RawValue> =
        serde_json::from_str(&std::fs::read_to_string(schemas.join(sample_path(event, event.version())))?)?;
    // As it lies in the log: without the blanks of the committed file.
    let value: serde_json::Value = serde_json::from_str(sample.get())?;
    let data = RawValue::from_string(value.to_string())?;
    Ok(EventRecord { name: event.name.to_owned(), version: event.version(), data })
}

fn events_per_second(records: &[EventRecord]) -> Result<f64, Box<dyn std::error::Error>> {
    let (started, mut read) = (Instant::now(), 0_u64);
    while started.elapsed() < ROUND {
        for record in records {
            std::hint::black_box(DomainEvent::decode("task", record)?);
            read += 1;
        }
    }
    Ok(read as f64 / started.elapsed().as_secs_f64())
}

#[expect(clippy::print_stdout, reason = "a tool for people")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let task = CATALOGUE.iter().filter(|event| event.category == "task");
    let records = task.map(|event| record(event)).collect::<Result<Vec<_>, _>>()?;
    println!("{:>10.0} events/s over one of each", events_per_second(&records)?);
    for record in &records {
        let bytes = record.data.get().len();
        let speed = events_per_second(std::slice::from_ref(record))?;
        println!("{speed:>10.0} events/s {} ({bytes} bytes)", record.name);
    }
    Ok(())
}
