//! What a user does with pulsewire, written once: each scenario is a function over a client and the
//! description of an endpoint, and runs natively and in WebAssembly, on every transport, against the
//! embedded broker and a real Apache Pulsar.
//!
//! A scenario's name begins with the id of the row of the parity ledger that it bears on.
#![forbid(unsafe_code)]

mod acknowledging;
pub mod admin;
mod bad_input;
mod consuming;
mod entries;
mod env;
mod positions;
mod producing;
mod reading;
mod service;
#[cfg(target_family = "wasm")]
pub mod web;

use std::future::Future;
use std::pin::Pin;

pub use env::{Endpoint, Env, Outcome};

/// A scenario under way. Natively it may move between threads.
#[cfg(not(target_family = "wasm"))]
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;
/// A scenario under way.
#[cfg(target_family = "wasm")]
pub type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Whether it has something to say about an endpoint.
    pub applies: fn(&Endpoint) -> bool,
    /// Starts it.
    pub run: fn(Env) -> Running,
}

impl Scenario {
    /// The row of the ledger.
    #[must_use]
    pub fn row(&self) -> String {
        self.name.split('_').next().unwrap_or("").to_uppercase()
    }
}

fn anywhere(_: &Endpoint) -> bool {
    true
}

macro_rules! scenarios {
    ($($module:ident { $($name:ident $(if $applies:expr)?,)* })*) => {
        /// All scenarios.
        pub const ALL: &[Scenario] = &[$($(Scenario {
            name: stringify!($name),
            applies: scenarios!(@applies $($applies)?),
            run: |env| Box::pin($module::$name(env)),
        },)*)*];
    };
    (@applies) => { anywhere };
    (@applies $applies:expr) => { $applies };
}

scenarios! {
    producing {
        p01_send_awaited,
        p01_many_in_flight_receipts_in_order,
        p01_large_payloads_arrive_whole,
        p02_producer_name_given_or_by_the_broker,
        p02_a_name_in_use_is_refused,
        p04_sends_close_together_travel_as_batches,
        p04_limits_of_a_batch_are_kept,
        p04_a_batch_carries_what_each_message_has,
        p06_sequence_ids_start_where_told_and_go_on,
        p06_sequence_ids_go_on_after_reopening,
        p09_flush_waits_for_all_receipts,
        p10_close_waits_for_pending_sends,
        p10_a_closed_producer_says_so,
        p10_a_dropped_producer_frees_its_name,
        p12_key_ordering_key_event_time,
        p15_properties_and_null_value,
        p18_memory_limit_refuses_or_waits,
    }
    entries {
        p03_each_codec_makes_messages_smaller,
        p03_each_codec_packs_whole_batches,
        p03_what_stays_too_large_fails_alone,
        p04_batches_by_key,
        p05_large_messages_travel_in_chunks,
        p05_chunks_and_batches_exclude_each_other,
        c28_an_acknowledgement_covers_all_chunks,
        c28_a_negative_acknowledgement_brings_all_chunks_again,
        c28_chunks_of_several_producers_are_told_apart,
        c28_the_oldest_gives_way_when_too_many_are_gathered,
        c28_chunks_past_their_time_are_acknowledged,
        c28_a_message_beyond_the_bound_is_refused,
        p13_messages_are_delivered_at_their_time,
        p14_messages_name_the_clusters_that_they_go_to,
        p19_a_producer_makes_its_first_subscription,
        p19_the_broker_shows_a_producers_properties,
        p25_messages_of_a_shadow_topic_name_their_source,
    }
    consuming {
        c01_exclusive_refuses_a_second_consumer,
        c01_shared_divides_and_loses_nothing,
        c01_failover_moves_to_the_next,
        c01_key_shared_keeps_keys_together,
        c02_receive_is_cancelled_without_loss,
        c04_stream_of_messages,
        c05_acknowledged_messages_stay_away,
        c05_cumulative_ack_covers_all_before,
        c09_negative_ack_redelivers_after_its_delay,
        c16_unacknowledged_messages_come_again,
        c17_last_message_id,
        c19_name_and_priority_are_accepted,
        c21_initial_position_earliest_and_latest,
        c23_a_queue_of_one_receives_all,
        c26_unsubscribe_forgets_the_position,
        c30_message_fields,
        c30_ids_are_in_order_and_survive_text_and_bytes,
    }
    acknowledging {
        c05_a_list_is_acknowledged,
        c06_receipts_confirm_acknowledgements,
        c07_acknowledgements_go_out_by_time_and_by_count,
        c07_close_and_drop_send_what_is_pending,
        c09_a_list_comes_again_with_backoff,
    }
    positions {
        c13_seek_by_id_goes_back_and_forth,
        c13_seek_by_publish_time,
        c13_seek_while_messages_are_awaited,
        c16_redelivery_on_request,
        c21_start_message_id_and_inclusive,
        c21_rollback_begins_back_in_time,
        c26_unsubscribe_forced_ends_the_others_too,
        c31_a_non_durable_subscription_is_forgotten,
    }
    reading {
        v01_starts_where_told_and_says_when_all_is_read,
        v01_starts_within_a_batch,
        v01_rollback_begins_back_in_time,
        v01_seek_by_id_and_time,
        v01_goes_on_within_a_batch_after_its_link_is_lost,
        v01_its_names_are_the_broker_s,
        v01_bad_options_are_refused_and_a_deleted_topic_is_survived,
        c17_has_message_available_of_consumers,
        c19_subscription_properties_and_replicated_state,
        c20_sticky_ranges_get_their_keys,
        c20_auto_split_and_out_of_order,
        c22_compacted_topics_give_the_last_of_each_key,
    }
    service {
        k01_several_addresses_one_of_them_dead if |e| !e.is_gateway(),
        k03_through_the_proxy if |e| e.proxied,
        k05_keepalive_holds_a_quiet_connection,
        k11_close_ends_everything,
        k12_topics_and_partitions_are_listed,
        w01_many_handles_share_the_connections,
        w04_broker_entry_metadata,
        n02_everything_through_the_gateway if Endpoint::is_gateway,
    }
    bad_input {
        p01_too_large_a_payload_fails_alone,
        k01_nobody_listens_is_a_timeout_with_its_reason,
        k01_what_is_no_url_or_topic_is_refused_at_once,
        k05_options_out_of_range_are_named,
        k12_what_is_no_namespace_is_refused_at_once,
    }
}
