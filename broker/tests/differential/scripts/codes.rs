//! What is answered where little or nothing is said, or what cannot be.

use super::admin::quiet;
use super::scripts;
use crate::side::Side;

fn prepared(s: &mut Side) -> String {
    quiet(s);
    s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
    let path = format!("persistent/public/default/{}", s.unique());
    s.order("PUT", &path, "");
    s.order("PUT", &format!("{path}-p/partitions"), "3");
    path
}

scripts! {
    fn bodies_that_say_nothing(s) {
        let path = prepared(s);
        let namespace = format!("namespaces/public/{}", s.short());
        s.order("PUT", &namespace, "");
        for body in ["", "null"] {
            s.inquire("POST", &format!("{namespace}/backlogQuota"), body);
            s.inquire("POST", &format!("{namespace}-none/backlogQuota"), body);
            s.inquire("POST", &format!("{path}/backlogQuota"), body);
            for topic in ["", "-p", "-none"] {
                s.inquire("PUT", &format!("{path}{topic}/offload"), body);
                s.inquire("POST", &format!("{path}{topic}/subscription/s/resetcursor"), body);
            }
        }
        for body in [r#"{"limitSize":5,"policy":"nonsense"}"#, r#"{"limitSize":5}"#] {
            s.inquire("POST", &format!("{namespace}/backlogQuota"), body);
            s.order("POST", &format!("{path}/backlogQuota"), body);
        }
        for body in ["{}", "5", "\"x\""] {
            for topic in ["", "-none"] {
                s.inquire("PUT", &format!("{path}{topic}/offload"), body);
            }
        }
        s.order("DELETE", &namespace, "");
    }

    fn numbers_of_partitions_that_cannot_be(s) {
        let path = prepared(s);
        for body in ["", "null", "\"\"", "0", "-1", "2"] {
            for topic in ["", "-p", "-none"] {
                s.inquire("POST", &format!("{path}{topic}/partitions"), body);
            }
            if body != "2" {
                s.inquire("PUT", &format!("{path}-none/partitions"), body);
            }
        }
    }

    fn places_that_messages_do_not_have(s) {
        let path = prepared(s);
        for topic in ["", "-p", "-none"] {
            s.inquire("POST", &format!("{path}{topic}/trim"), "");
            for position in ["0", "-1", "1", "x", "2147483648"] {
                // What is no number is looked at first there, here whether the topic has partitions.
                if topic != "-p" || position.len() < 3 && position != "x" {
                    s.inquire("GET", &format!("{path}{topic}/subscription/s/position/{position}"), "");
                }
            }
        }
        s.inquire("GET", &format!("{path}/subscriptions"), "");
        let examine = |s: &mut Side| {
            for from in ["latest", "earliest"] {
                for position in ["-1", "0", "1", "2", "3", "99999999999"] {
                    let asked = format!("initialPosition={from}&messagePosition={position}");
                    s.inquire("GET", &format!("{path}/examinemessage?{asked}"), "");
                }
            }
        };
        examine(s);
        s.order("POST", &format!("/topics/{path}"), r#"{"messages":[{"payload":"a"},{"payload":"b"}]}"#);
        examine(s);
        let (_, last) = s.admin("GET", &format!("{path}/lastMessageId"), "");
        let last: serde_json::Value = serde_json::from_str(&last).unwrap();
        let ledger = last["ledgerId"].as_i64().unwrap();
        s.replace(&format!(r"\b{ledger}(/|:)"), "LEDGER$1");
        for entry in ["0", "1", "2", "99", "-1"] {
            s.inquire("GET", &format!("{path}/ledger/{ledger}/entry/{entry}"), "");
        }
        for id in ["7777777/entry/0", "-1/entry/-1", "-1/entry/0"] {
            s.inquire("GET", &format!("{path}/ledger/{id}"), "");
        }
        s.order("GET", &format!("{path}a%00b/stats"), "");
        s.order("GET", "namespaces/public/a%00b", "");
        for rest in ["foo/public/default/x", "foo/public/default/x/bundle", "foo/bar", "persistent/x"] {
            s.inquire("GET", &format!("/lookup/v2/topic/{rest}"), "");
        }
        for rest in ["skip/2147483648", "expireMessages/2147483648", "skip/x", "skip/0"] {
            s.inquire("POST", &format!("{path}/subscription/s/{rest}"), "");
        }
    }
}
