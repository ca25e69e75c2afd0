//! Many followers of one whole workspace while commands are accepted as fast as they can be.

mod follower;

use std::time::{Duration, Instant};

use anyhow::ensure;
use capstan_envelope::Position;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::bench::bed::Bed;
use crate::bench::cost::{LOAD, Meter, Used};
use crate::bench::http_load;
use crate::bench::report::{Latency, Sample};
use follower::{Counts, Follower, Over};

/// Clients that send commands.
const CLIENTS: usize = 64;
/// Longest time followers may need after the last command.
const PATIENCE: Duration = Duration::from_mins(3);
/// Interval of looks at the followers.
const LOOK: Duration = Duration::from_millis(100);

/// Commands of one span, and what they cost.
struct Load {
    latency: Latency,
    used: Used,
}

/// What followers received of them.
struct Received {
    load: Load,
    /// Events of the commands.
    events: u64,
    frames: u64,
    bytes: u64,
    gaps: u64,
    /// From the last command to the last frame.
    behind: Duration,
}

/// One round: commands without followers, then with followers over each transport.
pub(super) async fn round(bed: &Bed, followers: usize, seconds: u64) -> anyhow::Result<Vec<Sample>> {
    let threads = Builder::new_multi_thread().worker_threads(2).thread_name(LOAD).enable_all().build()?;
    let measured = phases(bed, &threads, followers, Duration::from_secs(seconds)).await;
    threads.shutdown_background();
    measured
}

async fn phases(
    bed: &Bed,
    threads: &Runtime,
    followers: usize,
    span: Duration,
) -> anyhow::Result<Vec<Sample>> {
    let meter = Meter::new(bed).await?;
    let alone = load(bed, threads, &meter, span).await?;
    let limit = Sample::latency("accept, nobody follows", "commands/s", &alone.latency);
    let mut samples = Vec::new();
    for over in [Over::Sse, Over::WebSocket] {
        let received = followed(bed, threads, &meter, over, followers, span).await?;
        received.report(
            &format!("{followers} followers over {over}"),
            &alone,
            &limit,
            followers,
            &mut samples,
        );
    }
    samples.push(limit);
    Ok(samples)
}

/// Sends commands for a span, and waits until the read models show them.
async fn load(bed: &Bed, threads: &Runtime, meter: &Meter<'_>, span: Duration) -> anyhow::Result<Load> {
    let before = meter.read().await?;
    let latency = commands(bed, threads, span).await?;
    bed.settled().await?;
    Ok(Load { latency, used: meter.read().await?.since(&before) })
}

async fn commands(bed: &Bed, threads: &Runtime, span: Duration) -> anyhow::Result<Latency> {
    let host = bed.host();
    let sending = threads.spawn(async move {
        http_load::run(&host, "/v1/workspaces/dev/tasks", CLIENTS, span, 202, |number| {
            format!(r#"{{"agent_id":"demo","message":"bench {number} {}"}}"#, "x".repeat(400))
        })
        .await
    });
    sending.await?
}

async fn followed(
    bed: &Bed,
    threads: &Runtime,
    meter: &Meter<'_>,
    over: Over,
    followers: usize,
    span: Duration,
) -> anyhow::Result<Received> {
    let begin = bed.head().await?;
    let mut counts = Vec::with_capacity(followers);
    let mut following = JoinSet::new();
    for _ in 0..followers {
        let mut follower = Follower::open(&bed.host(), over, begin).await?;
        counts.push(follower.counts());
        following.spawn_on(async move { follower.follow().await }, threads.handle());
    }
    let before = meter.read().await?;
    let latency = commands(bed, threads, span).await?;
    let last_command = Instant::now();
    let events = events_since(bed, begin).await?;
    while let Some(behind) = counts.iter().map(|counts| counts.frames()).min()
        && behind < events
        && last_command.elapsed() < PATIENCE
    {
        if let Some(ended) = following.try_join_next() {
            ended??;
        }
        tokio::time::sleep(LOOK).await;
    }
    let behind = last_command.elapsed();
    bed.settled().await?;
    let used = meter.read().await?.since(&before);
    following.shutdown().await;
    let sum = |of: fn(&Counts) -> u64| counts.iter().map(|counts| of(counts)).sum::<u64>();
    Ok(Received {
        load: Load { latency, used },
        events,
        frames: sum(Counts::frames),
        bytes: sum(Counts::bytes),
        gaps: sum(Counts::gaps),
        behind,
    })
}

/// Counts the events after a position, as a stream that begins there shows them.
async fn events_since(bed: &Bed, begin: Position) -> anyhow::Result<u64> {
    let mut follower = Follower::open(&bed.host(), Over::Sse, begin).await?;
    let counts = follower.counts();
    tokio::time::timeout(PATIENCE, follower.catch_up()).await??;
    ensure!(counts.gaps() == 0, "the events could not be counted without a gap");
    Ok(counts.frames())
}

impl Received {
    fn report(&self, name: &str, alone: &Load, limit: &Sample, followers: usize, samples: &mut Vec<Sample>) {
        let Self { load, events, frames, bytes, gaps, behind } = self;
        let per_command = |load: &Load| load.used.capstan_us() / load.latency.count() as f64;
        let for_frames = (per_command(load) - per_command(alone)) * load.latency.count() as f64;
        let frames = (*frames as f64).max(1.0);
        let missing = (*events * followers as u64) as f64 - frames;
        samples.push(Sample::latency(format!("accept, {name}"), "commands/s", &load.latency).against(limit));
        for (what, unit, value) in [
            ("frames delivered", "frames/s", frames / (load.latency.elapsed() + *behind).as_secs_f64()),
            ("from the last command to the last frame", "ms", behind.as_secs_f64() * 1000.0),
            ("bytes of a frame", "bytes", *bytes as f64 / frames),
            ("processor time of Capstan for a frame", "ns", for_frames * 1000.0 / frames),
            ("processor time of followers and clients", "ns", load.used.client_us() * 1000.0 / frames),
            ("gaps told", "gaps", *gaps as f64),
            ("frames missing in the end", "frames", missing.max(0.0)),
        ] {
            samples.push(Sample::rate(format!("{name}: {what}"), unit, value));
        }
    }
}
