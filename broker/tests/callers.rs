//! Who calls the admin API, and what is told to whom may not.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "server")]

use std::sync::Arc;
use std::time::Duration;

use pulsewire_broker::admin::{Call, respond};
use pulsewire_broker::auth::{Methods, Passwords};
use pulsewire_broker::core::Access;
use pulsewire_broker::{Broker, BrokerConfig, Now};

/// `openssl passwd -apr1 123456`
const FILE: &[u8] = b"admin:$apr1$FG4AO6aX$KGYPuMoLUou3i6vUkPUUf.\n";

fn broker(anonymous: Option<&str>) -> Broker {
    let access = Access {
        authenticator: Arc::new(Methods {
            passwords: Some(Passwords::read(FILE).unwrap()),
            anonymous: anonymous.map(str::to_owned),
            ..Methods::default()
        }),
        superusers: Some(["admin".to_owned()].into()),
        refresh_check: Duration::from_secs(60),
    };
    Broker::new(BrokerConfig { access: Some(Arc::new(access)), ..BrokerConfig::default() })
}

/// Status and body of a call by who shows this password.
fn ask(broker: &mut Broker, path: &str, password: Option<&str>, method: Option<&str>) -> (u16, String) {
    let mut call = Call::new("GET", path).unwrap();
    call.password = password.map(|shown| shown.as_bytes().to_vec());
    call.auth_method = method.map(str::to_owned);
    let response = respond(broker, &call, Now::new(Duration::ZERO, 1_700_000_000_000));
    (response.status, String::from_utf8(response.body.to_vec()).unwrap())
}

#[test]
fn a_name_and_its_password_are_a_role() {
    let mut b = broker(None);
    assert_eq!(ask(&mut b, "/admin/v2/tenants", Some("admin:123456"), None).0, 200);
    assert_eq!(ask(&mut b, "/admin/v2/tenants", Some("admin:123456"), Some("basic")).0, 200);
    for (wrong, method) in [
        (Some("admin:1"), None),
        (Some("joe:123456"), None),
        (None, None),
        (Some("admin:123456"), Some("tls")),
    ] {
        let (status, body) = ask(&mut b, "/admin/v2/tenants", wrong, method);
        assert!(status == 401 && body.contains("<td>Authentication required</td>"), "{status} {body}");
    }
}

/// As Apache Pulsar has it: no way in is none, unless it is the only one that was meant.
#[test]
fn who_shows_nothing_good_is_anonymous() {
    let mut b = broker(Some("nobody"));
    let path = "/admin/v2/clusters";
    assert_eq!(ask(&mut b, path, Some("admin:wrong"), None).0, 200);
    assert_eq!(ask(&mut b, path, Some("admin:wrong"), Some("basic")).0, 401);
}

#[test]
fn what_is_not_there_is_told_to_everybody() {
    let mut b = broker(Some("nobody"));
    for (path, status, reason) in [
        ("/admin/v2/namespaces/none/n/retention", 404, "Tenant does not exist"),
        ("/admin/v2/namespaces/none", 404, "Tenant does not exist"),
        ("/admin/v2/persistent/none/n/t/stats", 404, "Tenant does not exist"),
        ("/lookup/v2/topic/persistent/public/none/t", 404, "Namespace not found"),
        ("/admin/v2/namespaces/public/default", 403, "Unauthorized"),
        ("/admin/v2/tenants/none", 401, "Unauthorized"),
    ] {
        let (heard, body) = ask(&mut b, path, None, None);
        assert!(heard == status && body.contains(reason), "{path}: {heard} {body}");
    }
}
