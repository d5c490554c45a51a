//! Admin calls on subscriptions that are for some roles only, or whose names begin with a role.

use super::guarded::{good, scripts};
use crate::side::Side;

/// Calls on a subscription of a topic.
const CALLS: &[(&str, &str, &str)] = &[
    ("GET", "/properties", ""),
    ("PUT", "/properties", r#"{"a":"b"}"#),
    ("GET", "/replicatedSubscriptionStatus", ""),
    ("POST", "/replicatedSubscriptionStatus", "true"),
    ("POST", "/resetcursor/0", ""),
    ("POST", "/resetcursor", r#"{"ledgerId":1,"entryId":0}"#),
    ("POST", "/skip/0", ""),
    ("POST", "/skip_all", ""),
    ("GET", "/position/1", ""),
    ("POST", "/analyzeBacklog", ""),
    ("POST", "/expireMessages/1", ""),
    ("POST", "/expireMessages", r#"{"ledgerId":1,"entryId":0}"#),
    ("DELETE", "", ""),
    ("DELETE", "?force=true", ""),
    ("PUT", "", r#""latest""#),
];

/// A namespace with topics, and roles that may do this and that there.
fn namespace(s: &mut Side) -> String {
    s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
    let namespace = format!("public/{}", s.short());
    s.token = Some(good("admin"));
    s.order("PUT", &format!("namespaces/{namespace}"), "");
    s.order("PUT", &format!("persistent/{namespace}/t"), "");
    s.order("PUT", &format!("persistent/{namespace}/p/partitions"), "2");
    let permissions = format!("namespaces/{namespace}/permissions");
    for (role, actions) in [("joe", r#"["consume"]"#), ("ann", r#"["consume"]"#), ("pam", r#"["produce"]"#)] {
        s.order("POST", &format!("{permissions}/{role}"), actions);
    }
    s.order("POST", &format!("persistent/{namespace}/t/permissions/tom"), r#"["consume"]"#);
    s.order("POST", &format!("{permissions}/subscription/s"), r#"["ann","bob"]"#);
    s.pause(1000);
    namespace
}

/// All calls, by that role.
fn calls(s: &mut Side, role: &str, sub: &str, words: bool) {
    s.token = Some(good(role));
    for (method, rest, body) in CALLS {
        if words {
            s.inquire(method, &format!("{sub}{rest}"), body);
        } else {
            s.order(method, &format!("{sub}{rest}"), body);
        }
    }
}

/// Makes a subscription, whoever made it before.
fn anew(s: &mut Side, sub: &str) {
    s.token = Some(good("admin"));
    s.admin("DELETE", &format!("{sub}?force=true"), "");
    s.admin("PUT", sub, r#""latest""#);
}

scripts! {
    fn admin_calls_on_subscriptions_for_some_roles(s) {
        let namespace = namespace(s);
        let topic = format!("persistent/{namespace}/t");
        for role in ["joe", "bob", "pam", "nobody"] {
            s.note(format!("-- {role}"));
            let sub = format!("{topic}/subscription/s");
            anew(s, &sub);
            calls(s, role, &sub, role == "joe");
        }
        for (role, sub) in [("ann", "s"), ("tom", "s"), ("joe", "free"), ("tom", "free"), ("bob", "free"), ("pam", "free")] {
            s.note(format!("-- {role} and {sub}"));
            let sub = format!("{topic}/subscription/{sub}");
            anew(s, &sub);
            calls(s, role, &sub, false);
        }
        s.note("-- what is of no single subscription");
        let sub = format!("{topic}/subscription/s");
        anew(s, &sub);
        s.token = Some(good("joe"));
        s.order("GET", &format!("{topic}/subscriptions"), "");
        s.order("POST", &format!("{topic}/all_subscription/expireMessages/1"), "");
        s.order("GET", &format!("{topic}/lastMessageId"), "");
        s.inquire("GET", &format!("{topic}/s/dispatchRate"), "");
        for what in ["clearBacklog", "unsubscribe/s"] {
            for role in ["bob", "joe"] {
                s.token = Some(good(role));
                s.order("POST", &format!("namespaces/{namespace}/{what}"), "");
            }
        }
        s.sorted(&format!("{topic}/subscriptions"));
        s.note("-- other topics");
        for topic in ["persistent/NS/p", "persistent/NS/p-partition-1", "persistent/NS/none", "non-persistent/NS/n"] {
            let topic = topic.replace("NS", &namespace);
            s.token = Some(good("joe"));
            for (method, rest) in [("POST", "/skip_all"), ("GET", "/replicatedSubscriptionStatus"), ("DELETE", ""), ("PUT", "")] {
                s.inquire(method, &format!("{topic}/subscription/s{rest}"), "");
            }
        }
        s.token = Some(good("nobody"));
        for (method, rest, body) in CALLS {
            s.order(method, &format!("non-persistent/{namespace}/n/subscription/s{rest}"), body);
        }
        s.order("DELETE", &format!("persistent/nosuch{}/n/t/subscription/s", s.short()), "");
        s.order("DELETE", &format!("persistent/{namespace}none/t/subscription/s"), "");
        s.note("-- nobody is named any more");
        s.token = Some(good("admin"));
        s.order("POST", &format!("namespaces/{namespace}/permissions/subscription/s"), "[]");
        s.inquire("GET", &format!("namespaces/{namespace}/permissions/subscription"), "");
        anew(s, &sub);
        s.pause(1000);
        calls(s, "joe", &sub, false);
    }

    fn roles_of_subscriptions_are_told(s) {
        s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
        let namespace = format!("public/{}", s.short());
        s.token = Some(good("admin"));
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        for (method, rest, body) in [
            ("DELETE", "s/joe", ""),
            ("POST", "subscription/s", "[]"),
            ("POST", "subscription/s", r#"["ann","bob"]"#),
            ("DELETE", "s/ann", ""),
            ("DELETE", "s/carl", ""),
            ("POST", "subscription/x", "[]"),
            ("DELETE", "s/bob", ""),
            ("DELETE", "s/bob", ""),
        ] {
            s.inquire(method, &format!("namespaces/{namespace}/permissions/{rest}"), body);
            s.inquire("GET", &format!("namespaces/{namespace}/permissions/subscription"), "");
        }
        s.look(&format!("namespaces/{namespace}"), &["auth_policies.subscription_auth_roles"]);
        for (method, rest, body) in [("DELETE", "s/joe", ""), ("POST", "subscription/s", "[]"), ("GET", "subscription", "")] {
            s.inquire(method, &format!("namespaces/{namespace}none/permissions/{rest}"), body);
        }
    }

    fn admin_calls_on_subscriptions_that_begin_with_a_role(s) {
        let namespace = namespace(s);
        let topic = format!("persistent/{namespace}/t");
        s.order("POST", &format!("namespaces/{namespace}/subscriptionAuthMode"), r#""Prefix""#);
        s.pause(1000);
        for (role, sub) in [
            ("joe", "free"), ("joe", "s"), ("joe", "joe-s"), ("ann", "s"), ("bob", "s"), ("pam", "free"), ("pam", "pam-s"),
            ("nobody", "free"), ("nobody", "nobody"), ("tom", "free"), ("tom", "tom"), ("admin", "free"),
        ] {
            s.note(format!("-- {role} and {sub}"));
            let sub = format!("{topic}/subscription/{sub}");
            anew(s, &sub);
            calls(s, role, &sub, (role, sub.ends_with("free")) == ("joe", true));
        }
        s.note("-- what is of no single subscription");
        anew(s, &format!("{topic}/subscription/free"));
        s.token = Some(good("joe"));
        s.order("GET", &format!("{topic}/subscriptions"), "");
        s.order("POST", &format!("{topic}/all_subscription/expireMessages/1"), "");
        s.order("POST", &format!("namespaces/{namespace}/clearBacklog"), "");
        s.order("POST", &format!("namespaces/{namespace}/unsubscribe/free"), "");
        s.sorted(&format!("{topic}/subscriptions"));
        s.note("-- other topics");
        for topic in ["persistent/NS/p", "persistent/NS/p-partition-1", "persistent/NS/none", "non-persistent/NS/n"] {
            let topic = topic.replace("NS", &namespace);
            for (method, rest) in [("POST", "/skip_all"), ("GET", "/replicatedSubscriptionStatus"), ("DELETE", ""), ("PUT", "")] {
                s.inquire(method, &format!("{topic}/subscription/free{rest}"), "");
            }
        }
    }
}
