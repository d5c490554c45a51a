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
mod hooks;
mod interop;
mod many;
mod older;
mod options;
mod positions;
mod producer_states;
mod producing;
mod reading;
mod reading_many;
mod receiving;
mod redelivering;
mod restarts;
mod service;
mod several;
mod strange;
mod table_view;
mod testing;
#[cfg(not(target_family = "wasm"))]
mod trace;
#[cfg(target_family = "wasm")]
pub mod web;

use std::future::Future;
use std::pin::Pin;

pub use env::{Endpoint, Env, Kind, Outcome};
pub use interop::Language;
use interop::{batches, ids, keys, letters, matrix, shared, wire};
#[cfg(not(target_family = "wasm"))]
pub use trace::Trace;

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
    /// The sort of endpoint that it is made for.
    kind: Kind,
    /// The official client that has a part in it.
    pub with: Option<Language>,
    /// Whether it has something to say about an endpoint of that sort.
    applies: fn(&Endpoint) -> bool,
    /// Starts it.
    pub run: fn(Env) -> Running,
}

impl Scenario {
    /// The row of the ledger.
    #[must_use]
    pub fn row(&self) -> String {
        self.name.split('_').next().unwrap_or("").to_uppercase()
    }

    /// The other side, as the ledger names it. Through our own broker a check shows that this serves other clients; the
    /// ledger counts the rest.
    #[must_use]
    pub fn witness<'a>(&self, endpoint: &'a Endpoint) -> &'a str {
        match self.with {
            Some(language) if !endpoint.witness.starts_with("pulsewire") => language.witness(),
            _ => &endpoint.witness,
        }
    }

    /// Whether it has something to say about an endpoint.
    #[must_use]
    pub fn applies(&self, endpoint: &Endpoint) -> bool {
        // Those clients go to the broker itself, and are asked on one way of ours in each world.
        let way = matches!(endpoint.transport.as_str(), "tcp" | "ws") && !endpoint.proxied;
        self.kind == endpoint.kind && (self.with.is_none() || way) && (self.applies)(endpoint)
    }
}

/// Restarts disturb each other: by TCP natively, through a WebSocket in a page.
fn one_way(endpoint: &Endpoint) -> bool {
    endpoint.is_gateway() == cfg!(target_family = "wasm")
}

fn anywhere(_: &Endpoint) -> bool {
    true
}

macro_rules! scenarios {
    ($($module:ident { $($name:ident $(with $language:ident)? $(if $applies:expr)?,)* })*) => {
        /// All scenarios.
        pub const ALL: &[Scenario] = &[$($(Scenario {
            name: stringify!($name),
            kind: scenarios!(@kind $module),
            with: scenarios!(@with $($language)?),
            applies: scenarios!(@applies $($applies)?),
            run: |env| Box::pin($module::$name(env)),
        },)*)*];
    };
    (@kind older) => { Kind::Older };
    (@kind restarts) => { Kind::Restarted };
    (@kind several) => { Kind::Several };
    (@kind strange) => { Kind::Strange };
    (@kind $module:ident) => { Kind::Usual };
    (@with) => { None };
    (@with $language:ident) => { Some(Language::$language) };
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
    producer_states {
        p08_exclusive_lets_no_other_in,
        p08_fencing_ends_the_others_and_their_sends,
        p08_waiting_for_exclusive_takes_as_long_as_it_must,
        p18_a_full_queue_refuses_or_waits_in_order,
        p06_last_sequence_ids_pushed_and_published,
        p23_connected_and_when_it_was_not,
        p22_repeats_are_dropped_through_reconnects_and_restarts,
        p11_statistics_count_what_happened,
        p17_interceptors_change_messages_and_learn_their_ends,
        p07_sends_that_no_broker_answers_time_out,
        p10_a_second_close_waits_for_the_first,
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
        c19_priority_name_and_property_are_the_broker_s,
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
    redelivering {
        c05_properties_stay_with_the_place,
        c06_each_acknowledgement_is_confirmed,
        c08_half_of_a_batch_of_ours_comes_again,
        c10_what_is_kept_too_long_comes_again,
        c10_the_timeout_has_a_backoff_of_its_own,
        c10_a_cumulative_ack_ends_the_wait,
        c11_what_is_put_off_comes_again_later,
        c11_letters_go_where_older_clients_had_them if |e| !e.proxied,
        c11_on_one_consumer_all_before_is_done_with,
        c11_nothing_is_put_off_unasked,
        c12_the_dead_letter_topic_begins_with_a_subscription,
        c12_what_comes_too_often_goes_to_the_dead_letter_topic,
        c12_the_ack_timeout_counts_and_of_a_batch_each_message,
        c12_what_was_given_up_by_others_counts_too,
        c12_a_letter_that_cannot_be_sent_loses_nothing,
        c12_options_out_of_range_are_named,
        c16_one_consumer_sees_all_again_in_order,
        c35_many_negative_acks_keep_their_time,
    }
    many {
        r01_a_partitioned_topic_from_end_to_end,
        r01_one_partition_that_cannot_be_opened_fails_all,
        r01_partitions_that_come_later_are_used_and_nothing_is_lost,
        c33_a_stream_survives_partition_growth,
        r02_messages_go_round_and_with_batching_stay_a_while,
        r02_a_single_partition_or_a_router_s,
        r02_a_router_that_panics_fails_its_message_alone if |_| cfg!(not(target_family = "wasm")),
        r03_a_key_s_partition_is_its_hash,
        r03_ten_thousand_keys_have_java_s_hashes,
        r04_names_and_ids_of_all_partitions,
        r04_statistics_are_of_all_partitions,
        m03_a_batch_holds_messages_of_several_topics,
        p24_partitions_are_opened_when_they_are_sent_to,
        p26_a_partial_producer_is_open_on_some_partitions,
        p26_a_producer_that_waits_is_not_ready,
        c13_seek_in_one_partition_or_in_all,
        c16_redelivery_in_all_partitions,
        c17_last_message_ids_of_several_topics,
        m01_topics_come_and_go_while_messages_flow,
        m02_a_pattern_follows_topics_that_come_and_go,
        m02_the_broker_tells_of_new_topics_long_before_the_next_look if |e| !e.proxied,
        m02_persistent_topics_others_or_both,
        m03_acknowledged_and_sought_topic_by_topic,
        m03_a_backlog_of_one_topic_does_not_keep_others_waiting,
        v02_partitions_and_several_topics_are_read,
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
    receiving {
        c02_receive_with_a_timeout_of_its_own,
        c03_a_batch_is_handed_out_by_count_bytes_or_time,
        c03_batches_of_a_full_queue_and_of_a_small_one,
        c04_a_listener_gets_all_one_after_another,
        c04_a_listener_goes_on_after_a_reconnect,
        c04_a_listener_that_panics_stops_nobody if |_| cfg!(not(target_family = "wasm")),
        c14_paused_no_more_is_asked_for,
        c14_a_listener_is_paused_too,
        c15_the_end_of_a_topic_is_told,
        c18_what_a_consumer_counts,
        c18_what_the_broker_counts,
        c23_a_queue_of_zero_asks_for_one_at_a_time,
        c23_a_queue_of_zero_with_a_listener,
        c23_a_batch_ends_a_consumer_with_a_queue_of_zero,
        c23_an_auto_scaled_queue_grows_with_its_use,
        c23_a_cap_on_the_bytes_of_the_queue,
        c25_interceptors_see_all_in_their_order,
        c25_a_panic_in_one_stops_none_of_the_others if |_| cfg!(not(target_family = "wasm")),
        c27_the_active_consumer_is_told,
        c29_how_a_consumer_is,
        c30_size_key_times_and_counts_of_a_message,
        c32_payloads_share_the_bytes_of_their_entry,
        c34_a_listener_hears_what_happens_in_its_order,
        c34_what_ends_a_consumer_ends_its_listeners,
        c02_a_watched_consumer_that_is_served_is_left_alone,
        c03_batches_and_pauses_of_partitions,
        c33_a_listener_hears_of_partitions_that_come_later,
        c23_the_queue_across_partitions_is_bounded,
    }
    hooks {
        p17_interceptors_hear_of_partitions_that_come_later,
        v01_a_listener_reads_all_and_hears_of_the_end,
        v01_interceptors_see_what_is_read_in_their_order,
        c25_interceptors_hear_of_partitions_that_come_later,
        c19_a_topic_has_a_priority_of_its_own,
    }
    reading_many {
        v02_reader_of_partitions,
        v02_reader_of_topics,
        c17_last_ids_and_availability_of_several_topics,
        v03_partitions_are_one_table,
    }
    table_view {
        v03_get_iterate_refresh,
        v03_listeners_are_told_each_change_once_in_order,
        v03_from_a_compacted_topic,
        v03_a_topic_that_is_not_stored_is_followed,
        v03_too_large_a_table_fails_with_its_limit_named,
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
    older {
        w01_an_older_broker_takes_messages_of_all_sorts,
        w01_an_older_broker_serves_consumers_and_readers,
        w01_what_is_not_offered_is_not_used,
        w01_what_an_older_broker_cannot_do_is_said_in_its_words,
    }
    restarts {
        p22_a_broker_that_was_killed_still_knows_repeats if one_way,
    }
    several {
        k02_lookups_lead_to_the_owner_and_bundles_move,
    }
    strange {
        w01_the_broker_is_told_of_protocol_21_and_of_what_we_can,
        w05_producers_go_on_among_unknown_things,
        w05_consumers_go_on_among_unknown_things,
        w05_many_topics_go_on_among_unknown_things,
        w05_an_unknown_error_is_an_error,
        c06_what_is_lost_on_the_way_is_not_confirmed,
        c06_what_is_lost_on_the_way_is_said_again,
    }
    wire {
        w02_we_read_and_write_every_command_as_java_writes_it with Java,
        w02_java_reads_and_writes_every_command_as_we_write_it with Java,
    }
    batches {
        c08_half_of_a_batch_comes_again with Python,
        c08_acknowledged_bits_do_not_come_again with Python,
    }
    matrix {
        p01_java_reads_our_single_messages with Java,
        p01_python_reads_our_single_messages with Python,
        p04_java_reads_our_batches with Java,
        p04_python_reads_our_batches with Python,
        c30_we_read_the_single_messages_of_java with Java,
        c30_we_read_the_single_messages_of_python with Python,
        c30_we_read_the_batches_of_java with Java,
        c30_we_read_the_batches_of_python with Python,
        p05_java_reads_our_chunks with Java,
        p05_python_reads_our_chunks with Python,
        p04_java_reads_our_batches_of_one with Java,
        p04_python_reads_our_batches_of_one with Python,
        c30_we_read_the_batches_of_one_of_java with Java,
        c30_we_read_the_batches_of_one_of_python with Python,
        p04_java_reads_our_batches_by_key with Java,
        p04_python_reads_our_batches_by_key with Python,
        c30_we_read_the_batches_by_key_of_java with Java,
        c30_we_read_the_batches_by_key_of_python with Python,
        p01_all_clients_have_the_same_limit with Java,
        p13_delayed_messages_are_seen_alike with Java,
        c28_we_read_the_chunks_of_java with Java,
        c28_we_read_the_chunks_of_python with Python,
    }
    ids {
        c30_ids_are_the_same_bytes_in_all_clients with Java,
        c30_ids_are_ordered_alike_in_all_clients with Java,
    }
    keys {
        r03_keys_go_where_java_sends_them with Java,
    }
    shared {
        c01_three_clients_share_a_subscription with Java,
        c01_three_clients_share_a_subscription_by_keys with Java,
        c01_three_clients_take_over_from_each_other with Java,
        c01_three_clients_exclude_each_other with Java,
    }
    letters {
        c11_java_and_we_put_off_in_turns with Java,
        c12_java_buries_what_we_gave_back with Java,
        c12_we_bury_what_java_gave_back with Java,
    }
    bad_input {
        p01_too_large_a_payload_fails_alone,
        p01_a_topic_deleted_while_used_harms_nobody_else,
        k01_nobody_listens_is_a_timeout_with_its_reason,
        k01_what_is_no_url_or_topic_is_refused_at_once,
        k05_options_out_of_range_are_named,
        k12_what_is_no_namespace_is_refused_at_once,
    }
    options {
        k05_every_option_out_of_range_is_named,
        k05_options_of_several_topics_are_checked_for_all,
        k05_names_and_options_that_are_wrong_are_told_together,
        k05_the_largest_values_are_taken_at_their_word,
        k05_a_sequence_id_that_brokers_cannot_have_is_refused,
    }
    testing {
        n09_the_test_broker_tells_what_the_endpoint_tells,
        n09_the_clock_of_the_test_broker_is_put_forward,
        n09_sends_fail_and_connections_break_as_ordered,
        n09_a_full_test_broker_refuses_in_order_and_goes_on,
        n09_what_the_test_broker_stores_can_be_looked_at,
        n09_bad_input_to_the_test_broker_is_refused,
        n09_test_brokers_come_and_go,
    }
}
