use super::*;

const LEDGER: &str = r#"
outside = ["Apache Pulsar ", "pulsar-client (Python) "]
[[row]]
id = "P01"
group = "Producer"
title = "send"
[[row]]
id = "P02"
group = "Producer"
title = "name"
needs = ["p02_given", "p02_by_broker"]
[[row]]
id = "K09"
group = "Client"
title = "DNS"
worlds = ["rust-native"]
"#;

const REAL: &str = "Apache Pulsar 4.0.8";
const OWN: &str = "pulsewire embedded broker";

fn check(name: &str, witness: &str, status: Status) -> Check {
    Check {
        name: name.to_owned(),
        row: name[..3].to_uppercase(),
        world: World::RustNative,
        transport: "tcp".to_owned(),
        witness: witness.to_owned(),
        status,
        seconds: 0.0,
        detail: String::new(),
    }
}

fn verdict(row: &str, checks: &[Check]) -> Verdict {
    let ledger = Ledger::parse(LEDGER).expect("a ledger");
    ledger.verify(checks).expect("known rows");
    let row = ledger.row.iter().find(|candidate| candidate.id == row).expect("a row");
    ledger.judge(row, World::RustNative, checks)
}

fn red(row: &str, checks: &[Check]) -> String {
    match verdict(row, checks) {
        Verdict::Red(reason) => reason,
        other => panic!("{other:?} is not red"),
    }
}

#[test]
fn a_row_without_a_check_is_red() {
    assert_eq!(red("P01", &[]), "no check");
    assert_eq!(red("P01", &[check("p02_given", REAL, Status::Passed)]), "no check");
}

#[test]
fn a_pass_against_a_real_pulsar_is_green() {
    let checks = [check("p01_send", REAL, Status::Passed), check("p01_send", OWN, Status::Passed)];
    let Verdict::Green(shown) = verdict("P01", &checks) else { panic!("not green") };
    assert_eq!(shown.len(), 1);
    assert!(shown[REAL]["p01_send"].contains("tcp"));
}

#[test]
fn the_python_client_and_the_proxy_are_outside_too() {
    for witness in ["pulsar-client (Python) 3.13.0", "Apache Pulsar 4.0.8 proxy"] {
        assert!(matches!(verdict("P01", &[check("p01_send", witness, Status::Passed)]), Verdict::Green(_)));
    }
}

#[test]
fn skipped_is_red_even_beside_a_pass() {
    assert_eq!(red("P01", &[check("p01_send", REAL, Status::Skipped)]), "skipped: `p01_send` (tcp)");
    let both = [check("p01_send", REAL, Status::Passed), check("p01_many", REAL, Status::Skipped)];
    assert_eq!(red("P01", &both), "skipped: `p01_many` (tcp)");
}

#[test]
fn failed_is_red_even_beside_a_pass() {
    let both = [check("p01_send", REAL, Status::Passed), check("p01_send", REAL, Status::Failed)];
    assert_eq!(red("P01", &both), "failed: `p01_send` (tcp)");
    let own = [check("p01_send", REAL, Status::Passed), check("p01_send", OWN, Status::Failed)];
    assert_eq!(red("P01", &own), "failed: `p01_send` (tcp)");
}

#[test]
fn our_own_broker_alone_is_red() {
    assert_eq!(red("P01", &[check("p01_send", OWN, Status::Passed)]), "no outside witness");
    assert_eq!(red("P01", &[check("p01_send", "", Status::Passed)]), "no outside witness");
}

#[test]
fn every_needed_check_must_have_passed_outside() {
    let one = check("p02_given", REAL, Status::Passed);
    assert_eq!(red("P02", std::slice::from_ref(&one)), "needs `p02_by_broker`");
    let own = check("p02_by_broker", OWN, Status::Passed);
    assert_eq!(red("P02", &[one.clone(), own]), "needs `p02_by_broker`");
    let other = check("p02_by_broker", REAL, Status::Passed);
    assert!(matches!(verdict("P02", &[one, other]), Verdict::Green(_)));
}

#[test]
fn one_world_says_nothing_about_another() {
    let ledger = Ledger::parse(LEDGER).expect("a ledger");
    let checks = [check("p01_send", REAL, Status::Passed)];
    assert_eq!(ledger.judge(&ledger.row[0], World::Js, &checks), Verdict::Red("no check".into()));
    assert_eq!(ledger.judge(&ledger.row[2], World::Js, &checks), Verdict::Elsewhere);
}

#[test]
fn what_does_not_fit_the_ledger_is_an_error() {
    let ledger = Ledger::parse(LEDGER).expect("a ledger");
    let mut unknown = check("p01_send", REAL, Status::Passed);
    unknown.row = "P99".into();
    assert!(ledger.verify(&[unknown]).is_err());
    let mut misnamed = check("p01_send", REAL, Status::Passed);
    misnamed.row = "P02".into();
    assert!(ledger.verify(&[misnamed]).is_err());
    assert!(Ledger::parse(&LEDGER.replace("Apache Pulsar ", "pulsewire ")).is_err());
    assert!(Ledger::parse(&LEDGER.replace("id = \"P02\"", "id = \"P01\"")).is_err());
}

#[test]
fn the_line_format_is_the_agreed_one() {
    let line = r#"{"name":"p01_send","row":"P01","world":"rust-wasm","transport":"ws","witness":"Apache Pulsar 4.0.8",
        "status":"passed","seconds":0.1,"detail":""}"#;
    let check: Check = serde_json::from_str(line).expect("parsed");
    assert_eq!((check.world, check.status), (World::RustWasm, Status::Passed));
}

#[test]
fn the_page_counts_and_names() {
    let ledger = Ledger::parse(LEDGER).expect("a ledger");
    let page = ledger.render(&[check("p01_send", REAL, Status::Passed)]);
    assert!(page.contains("| Rust, native | 1 | 2 |"), "{page}");
    assert!(page.contains("| JavaScript | 0 | 2 |"), "{page}");
    assert!(
        page.contains(
            "| P01 | send | ✅ Apache Pulsar 4.0.8: `p01_send` (tcp) | ❌ no check | ❌ no check |"
        ),
        "{page}"
    );
    assert!(page.contains("| K09 | DNS | ❌ no check | – | – |"), "{page}");
}

#[test]
fn the_real_ledger_is_well_formed() {
    let text = std::fs::read_to_string(root().join("tests/ledger.toml")).expect("the ledger");
    assert_eq!(Ledger::parse(&text).expect("well formed").row.len(), 119);
}
