//! What becomes of every command of the protocol: sent, handled, or passed over for a reason.

use pulsewire_proto::wire::*;

use crate::talk::*;

/// What a client does with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Clients say it.
    Said,
    /// Brokers say it, and it is handled.
    Handled,
    /// Both say it.
    Both,
    /// Brokers say it only when a client has said something that this one does not say; it is skipped and counted.
    Skipped(&'static str),
    /// Neither: why not.
    Foreign(&'static str),
}

use Fate::{Both, Foreign, Handled, Said, Skipped};

const SCHEMAS: &str = "schemas are not spoken yet";
const TRANSACTIONS: &str = "transactions are not spoken yet";
const SCALABLE: &str = "scalable topics (Pulsar 5.0) are not spoken yet";
const BROKERS: &str = "brokers say it to one another";

const INVENTORY: &[(i32, Fate)] = &[
    (2, Said),
    (3, Handled),
    (4, Said),
    (5, Said),
    (6, Said),
    (7, Handled),
    (8, Handled),
    (9, Handled),
    (10, Said),
    (11, Said),
    (12, Said),
    (13, Handled),
    (14, Handled),
    (15, Both),
    (16, Both),
    (17, Handled),
    (18, Both),
    (19, Both),
    (20, Said),
    (21, Said),
    (22, Handled),
    (23, Said),
    (24, Handled),
    (25, Said),
    (26, Handled),
    (27, Handled),
    (28, Said),
    (29, Said),
    (30, Handled),
    (31, Handled),
    (32, Said),
    (33, Handled),
    (34, Foreign(SCHEMAS)),
    (35, Skipped(SCHEMAS)),
    (36, Handled),
    (37, Said),
    (38, Handled),
    (39, Foreign(SCHEMAS)),
    (40, Skipped(SCHEMAS)),
    (50, Foreign(TRANSACTIONS)),
    (51, Skipped(TRANSACTIONS)),
    (52, Foreign(TRANSACTIONS)),
    (53, Skipped(TRANSACTIONS)),
    (54, Foreign(TRANSACTIONS)),
    (55, Skipped(TRANSACTIONS)),
    (56, Foreign(TRANSACTIONS)),
    (57, Skipped(TRANSACTIONS)),
    (58, Foreign(BROKERS)),
    (59, Foreign(BROKERS)),
    (60, Foreign(BROKERS)),
    (61, Foreign(BROKERS)),
    (62, Foreign(TRANSACTIONS)),
    (63, Skipped(TRANSACTIONS)),
    (64, Said),
    (65, Handled),
    (66, Handled),
    (67, Said),
    (68, Skipped("a migrated topic is found by the next lookup")),
    (70, Foreign(SCALABLE)),
    (71, Skipped(SCALABLE)),
    (72, Foreign(SCALABLE)),
    (73, Foreign(SCALABLE)),
    (74, Skipped(SCALABLE)),
    (75, Skipped(SCALABLE)),
    (76, Foreign(SCALABLE)),
    (77, Skipped(SCALABLE)),
    (78, Foreign(SCALABLE)),
    (79, Foreign(SCALABLE)),
    (80, Skipped(SCALABLE)),
    (81, Foreign(SCALABLE)),
];

#[test]
fn w02_every_command_of_the_definition_is_in_the_inventory() {
    let known: Vec<i32> = Command::KNOWN.iter().map(|(number, _)| *number).collect();
    let listed: Vec<i32> = INVENTORY.iter().map(|(number, _)| *number).collect();
    assert_eq!(listed, known);
    assert!(INVENTORY.iter().all(|(_, fate)| !matches!(fate, Skipped("") | Foreign(""))));
}

#[test]
fn w02_what_is_not_handled_is_skipped_and_counted_and_the_rest_is_decoded() {
    for (number, fate) in INVENTORY {
        let mut talk = Talk::new();
        let (_, conn) = talk.producer();
        // A command without its body: a client that handles it cannot pass over that.
        talk.say(conn, Command::Unknown(*number));
        let handled = matches!(fate, Handled | Both);
        let skipped = talk.client.skipped_commands();
        assert_eq!((talk.is_open(conn), skipped), (!handled, u64::from(!handled)), "{number} {fate:?}");
    }
}
