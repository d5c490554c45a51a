//! Proofs of who somebody is.

use super::*;

#[test]
fn a_client_without_a_good_proof_is_told_and_cut() {
    let mut w = world(None);
    let good = client(&mut w, "joe");
    for bad in [
        connect(),
        connect_as(""),
        CommandConnect { auth_method_name: Some("basic".to_owned()), ..connect_as("joe") },
        CommandConnect {
            auth_method: Some(AuthMethod::AUTH_METHOD_ATHENS),
            auth_method_name: None,
            ..connect_as("joe")
        },
    ] {
        let c = w.stranger();
        let heard = w.ask(c, bad);
        let Command::Error(CommandError { request_id, .. }) = heard else { panic!("{heard:?}") };
        assert_eq!(request_id, u64::MAX);
        assert_eq!(refusal(heard), (ServerError::AUTHENTICATION_ERROR, "Failed to authenticate".to_owned()));
        assert!(matches!(w.cut(c), Some(DisconnectReason::Authentication(_))), "{:?}", w.cut(c));
    }
    w.produce(good, 1, TOPIC);
}

#[test]
fn commands_before_connect_are_no_way_in() {
    let mut w = world(None);
    let c = w.stranger();
    let refused = refusal(w.ask(c, answer("token", "joe")));
    assert_eq!(refused.0, ServerError::AUTHENTICATION_ERROR);
    assert!(matches!(w.cut(c), Some(DisconnectReason::Authentication(_))));
    let c = w.stranger();
    w.say(c, producer_on(1, TOPIC));
    assert!(matches!(w.cut(c), Some(DisconnectReason::Protocol(_))));
}

#[test]
fn the_name_in_a_certificate_is_a_role() {
    let mut w = world(Some(&["boss"]));
    let tls = CommandConnect { auth_method_name: Some("tls".to_owned()), auth_data: None, ..connect() };
    let c = w.stranger();
    w.broker.certified(c, "boss");
    assert!(matches!(w.ask(c, tls.clone()), Command::Connected(_)));
    w.produce(c, 1, TOPIC);
    let c = w.stranger();
    assert_eq!(refusal(w.ask(c, tls)).0, ServerError::AUTHENTICATION_ERROR);
}

#[test]
fn a_proof_that_expires_is_refreshed_in_band() {
    let mut w = world(None);
    let c = client(&mut w, &format!("joe until {}", WALL + 7000));
    w.produce(c, 1, TOPIC);
    let heard = wait(&mut w, c, 9);
    assert!(heard.is_empty(), "it holds until the next look: {heard:?}");
    let heard = wait(&mut w, c, 1);
    let [Command::AuthChallenge(challenge)] = heard.as_slice() else { panic!("{heard:?}") };
    let asked = challenge.challenge.clone().unwrap();
    assert_eq!(asked.auth_method_name.as_deref(), Some("token"));
    assert_eq!(asked.auth_data.as_deref(), Some(&b"PulsarAuthRefresh"[..]));
    assert_eq!(challenge.protocol_version, Some(21));
    w.publish(c, 1, 0, "goes on meanwhile");
    w.say(c, answer("token", &format!("joe until {}", WALL + 31_000)));
    assert!(w.silent(c), "a good answer has no answer");
    assert!(wait(&mut w, c, 24).is_empty());
    w.publish(c, 1, 1, "and afterwards");
    let heard = wait(&mut w, c, 1);
    assert!(matches!(heard.as_slice(), [Command::AuthChallenge(_)]), "asked again: {heard:?}");
    assert!(wait(&mut w, c, 6).is_empty());
    assert_eq!(w.cut(c), Some(&DisconnectReason::Expired), "no answer in time");
}

#[test]
fn a_client_that_cannot_refresh_is_closed_when_its_proof_expires() {
    let mut w = world(None);
    let c = w.stranger();
    let old = CommandConnect { feature_flags: None, ..connect_as(&format!("joe until {}", WALL + 1000)) };
    w.ask(c, old);
    assert!(wait(&mut w, c, 6).is_empty());
    assert_eq!(w.cut(c), Some(&DisconnectReason::Expired));
}

#[test]
fn wrong_answers_to_a_challenge_end_the_connection() {
    let expired = format!("joe until {}", WALL + 1);
    for (wrong, told) in [
        (answer("token", ""), true),
        (answer("token", &expired), true),
        (answer("basic", "joe"), true),
        // Somebody else, all of a sudden.
        (answer("token", "ann"), false),
        (CommandAuthResponse::default(), false),
        (CommandAuthResponse { response: Some(AuthData::default()), ..answer("", "") }, false),
    ] {
        let mut w = world(None);
        let other = client(&mut w, "other");
        let c = client(&mut w, &expired);
        assert!(matches!(wait(&mut w, c, 5).as_slice(), [Command::AuthChallenge(_)]));
        w.say(c, wrong.clone());
        if told {
            assert_eq!(refusal(w.hear(c)).0, ServerError::AUTHENTICATION_ERROR, "{wrong:?}");
        }
        assert!(w.silent(c) && w.cut(c).is_some(), "{wrong:?}: {:?}", w.cut(c));
        w.produce(other, 1, TOPIC);
    }
}
