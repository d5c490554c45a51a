//! Looking at messages of transactions without consuming them.

use pulsewire_proto::wire::*;

use super::admin::quiet;
use super::transactions::{ABORT, COMMIT, attached, begin, end, plain, send, with_topic};
use crate::common::{batch_of, producer_on};
use crate::side::Side;

/// Looks at each of the first entries, in all three ways.
fn look(s: &mut Side, path: &str, ledger: u64, entries: u64) {
    for n in 1..=entries {
        s.headers(&format!("{path}/subscription/s/position/{n}"));
    }
    for n in 1..=entries {
        s.headers(&format!("{path}/examinemessage?initialPosition=earliest&messagePosition={n}"));
        s.headers(&format!("{path}/ledger/{ledger}/entry/{}", n - 1));
    }
}

/// On sockets: names of headers are written as Apache Pulsar writes them there.
#[test]
fn messages_of_transactions_are_looked_at() {
    fn script(s: &mut Side) {
        quiet(s);
        s.replace(r"(?s)\\n\\nStacktrace.*", "\"");
        s.replace(r"producer-name: standalone-\d+-\d+", "producer-name: GENERATED");
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let tc = attached(s);
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        s.order("PUT", &format!("{path}/subscription/s"), "{\"ledgerId\":-1,\"entryId\":-1}");
        let ledger = plain(s, a, 0, "before").ledger_id;
        s.replace(&format!("ledger/{ledger}/"), "ledger/LEDGER/");
        let all = [begin(s, tc, 60_000), begin(s, tc, 60_000)];
        for (n, txn) in all.iter().enumerate() {
            // Coordinators count on from run to run.
            s.replace(&format!("least-bits: {}$", txn.1), &format!("least-bits: T{n}"));
            s.ask_amid(tc, with_topic(*txn, &topic));
        }
        send(s, a, 1, all[0], MessageMetadata::default(), "one");
        plain(s, a, 2, "between");
        send(s, a, 3, all[1], batch_of(2), "two");
        plain(s, a, 4, "behind");
        look(s, &path, ledger, 5);
        s.ask_amid(tc, end(all[0], ABORT));
        s.pause(500);
        look(s, &path, ledger, 6);
        s.ask_amid(tc, end(all[1], COMMIT));
        s.pause(500);
        look(s, &path, ledger, 7);
        s.order("POST", &format!("{path}/subscription/s/skip/2"), "");
        s.headers(&format!("{path}/subscription/s/position/1"));
    }
    crate::play_on_sockets("messages_of_transactions_are_looked_at", script);
}
