//! The same behaviours on three replicas, where repeats are answered differently and only the leader is up to date.

use std::sync::Arc;

use capstan_eventlog::{JetStreamConfig, JetStreamLog};

use crate::conformance;
use crate::server::Cluster;
use crate::writer::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_log_behaves_like_every_log() {
    let cluster = Cluster::start().await;
    let mut number = 0;
    let mut fresh = async || {
        number += 1;
        let stream_prefix = Some(format!("r{number}"));
        let config = JetStreamConfig { replicas: 3, stream_prefix, ..cluster.config() };
        // A leader that two of the three servers elected refuses to place three copies until it has heard of the third.
        let log = eventually("the cluster places three copies", async || {
            JetStreamLog::connect(config.clone()).await.ok()
        });
        Arc::new(log.await)
    };
    conformance::commits_are_stored_in_order_and_read_back_as_written(fresh().await).await;
    conformance::a_stale_writer_is_refused(fresh().await).await;
    conformance::of_two_rivals_exactly_one_wins(fresh().await).await;
    conformance::a_repeated_commit_answers_where_it_stands(fresh().await).await;
    conformance::a_repeated_commit_is_known_after_others_followed(fresh().await).await;
    conformance::several_streams_are_written_all_or_none(fresh().await).await;
    conformance::a_repeated_group_answers_where_it_stands(fresh().await).await;
    conformance::a_stream_is_read_after_a_position(fresh().await).await;
    conformance::a_tail_of_one_workspace_sees_only_it_and_reaches_the_head(fresh().await).await;
}
