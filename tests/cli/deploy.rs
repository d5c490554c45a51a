//! What `gateway/deploy` brings fits the binary.

use serde_json::Value;

use crate::gateway::status;
use crate::support::{Process, Scratch, run};

const MANIFEST: &str = include_str!("../../gateway/deploy/kubernetes.yaml");
const CONTAINERFILE: &str = include_str!("../../gateway/deploy/Containerfile");
/// The oldest Kubernetes that has all of it, and a newer one.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];
const KEYS: &str = "/etc/pulsewire-keys/login.pem";

fn documents() -> Vec<Value> {
    use serde::Deserialize as _;
    let documents = serde_yaml_ng::Deserializer::from_str(MANIFEST);
    documents.map(|document| Value::deserialize(document).expect("YAML")).collect()
}

fn kind(kind: &str) -> Value {
    let mut found: Vec<Value> = documents().into_iter().filter(|document| document["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

fn pod() -> Value {
    kind("Deployment")["spec"]["template"].clone()
}

fn container() -> Value {
    let containers = pod()["spec"]["containers"].clone();
    assert_eq!(containers.as_array().map(Vec::len), Some(1));
    containers[0].clone()
}

/// The number of a port of the container, by its name.
fn port(name: &Value) -> u64 {
    let ports = container()["ports"].clone();
    let port = ports.as_array().and_then(|all| all.iter().find(|port| &port["name"] == name).cloned());
    port.and_then(|port| port["containerPort"].as_u64()).unwrap_or_else(|| panic!("no port {name}"))
}

fn configuration() -> String {
    kind("ConfigMap")["data"]["gateway.toml"].as_str().expect("a file").to_owned()
}

fn table() -> toml::Table {
    configuration().parse().expect("TOML")
}

/// The file as the pod has it, with a key in the place of the secret's.
fn check(text: &str) -> (Scratch, Scratch) {
    let key = rcgen::KeyPair::generate().expect("a key").public_key_pem();
    let key = Scratch::new("login.pem", key.as_bytes());
    assert!(text.contains(KEYS));
    let file = Scratch::new("deploy.toml", text.replace(KEYS, key.path()).as_bytes());
    run(&["gateway", "--check", file.path()]).quiet_success();
    (file, key)
}

#[test]
fn the_configuration_passes_the_check_and_serves_the_probes() {
    let text = configuration();
    let (_file, _key) = check(&text);
    // The same, at ports that are free here.
    let (file, _key) =
        check(&text.replace("0.0.0.0:8081", "127.0.0.1:0").replace("0.0.0.0:9090", "127.0.0.1:0"));
    let mut process = Process::start(&["gateway", "--config", file.path()]);
    let admin = process.said("health");
    let container = container();
    for probe in ["livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        let path = get["path"].as_str().expect("a path");
        assert_eq!(status(&admin, path), 200, "{path}");
        assert_eq!(get["port"], "admin");
    }
    assert_eq!(status(&admin, "/other"), 404, "and not whatever is asked for");
}

#[test]
fn ports_and_files_are_those_of_the_configuration() {
    let table = table();
    let said = |key: &str| table[key].as_str().and_then(|it| it.rsplit_once(':')?.1.parse::<u64>().ok());
    let (websocket, admin) = (port(&"websocket".into()), port(&"admin".into()));
    assert_eq!((said("listen"), said("admin_listen")), (Some(websocket), Some(admin)));
    assert!(CONTAINERFILE.contains(&format!("EXPOSE {websocket} {admin}\n")));

    let service = kind("Service");
    assert_eq!(service["spec"]["ports"].as_array().map(Vec::len), Some(1), "the admin port is no part of it");
    assert_eq!(port(&service["spec"]["ports"][0]["targetPort"]), websocket);
    let policy = kind("NetworkPolicy");
    let rules = policy["spec"]["ingress"].as_array().expect("rules");
    for rule in rules {
        let to = rule["ports"][0]["port"].as_u64();
        assert!(to == Some(websocket) || to == Some(admin) && rule["from"].is_array(), "{rule}");
    }

    let container = container();
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let mount =
        |name: &str| mounts.iter().find(|it| it["name"] == name).expect("a mount")["mountPath"].clone();
    let config = format!("{}/gateway.toml", mount("config").as_str().expect("a path"));
    assert!(CONTAINERFILE.contains(&format!("CMD [\"gateway\", \"--config\", \"{config}\"]")), "{config}");
    assert!(KEYS.starts_with(&format!("{}/", mount("keys").as_str().expect("a path"))));
    let volumes = pod()["spec"]["volumes"].clone();
    for mount in mounts {
        assert_eq!(mount["readOnly"], true, "{mount}");
        let known = volumes.as_array().expect("volumes").iter().any(|volume| volume["name"] == mount["name"]);
        assert!(known, "{mount}");
    }
}

#[test]
fn a_pod_has_the_time_that_its_lame_duck_takes() {
    let seconds =
        |value: &str| value.strip_suffix('s').and_then(|it| it.parse::<u64>().ok()).expect("seconds");
    let table = table();
    let lame_duck = table["limits"]["lame_duck"].as_str().map(seconds).expect("a window");
    // Of `close_timeout`, by default.
    let close = table["limits"].get("close_timeout").and_then(toml::Value::as_str).map_or(5, seconds);
    let before = container()["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("a pause");
    let grace = pod()["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a period");
    assert!(grace >= before + lame_duck + close + 5, "{grace} s");

    let deployment = kind("Deployment");
    let replicas = deployment["spec"]["replicas"].as_u64().expect("replicas");
    let kept = kind("PodDisruptionBudget")["spec"]["minAvailable"].as_u64().expect("a budget");
    assert!((1..replicas).contains(&kept), "a drain may neither end all nor wait for ever");
}

#[test]
fn a_pod_may_do_no_more_than_it_needs() {
    let (pod, container) = (pod(), container());
    let (whole, own) = (&pod["spec"]["securityContext"], &container["securityContext"]);
    assert_eq!(whole["runAsNonRoot"], true);
    assert_eq!(whole["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(own["allowPrivilegeEscalation"], false);
    assert_eq!(own["readOnlyRootFilesystem"], true);
    assert_eq!(own["capabilities"]["drop"][0], "ALL");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    let user = whole["runAsUser"].as_u64().expect("a user");
    assert!(CONTAINERFILE.contains(&format!("USER {user}:{user}\n")));
    for (of, what) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
        assert!(container["resources"][of][what].is_string(), "{of} of {what}");
    }

    let labels = &pod["metadata"]["labels"];
    let deployment = kind("Deployment");
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&kind("Service")["spec"]["selector"], labels);
    assert_eq!(&kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], labels);
}

#[test]
fn no_image_names_a_registry() {
    let image = container()["image"].clone();
    let of =
        |line: &str| line.split_once("FROM ").or(line.split_once('=')).map(|(_, image)| image.to_owned());
    let from =
        CONTAINERFILE.lines().filter(|it| it.starts_with("FROM ") || it.starts_with("ARG ")).filter_map(of);
    for image in from.chain(image.as_str().map(str::to_owned)) {
        let host = image.split_once('/').map_or("", |(host, _)| host);
        assert!(!host.contains(['.', ':']) && host != "localhost", "{image}");
    }
}

/// What a program that others wrote says of a file, and whether it finds anything wrong.
fn judged(variable: &str, arguments: &[&str]) -> (bool, String) {
    let program = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is set"));
    let ran = std::process::Command::new(program).args(arguments).output().expect("it starts");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
#[ignore = "run by the suite gateway deploy, which has that program"]
fn the_manifest_is_one_by_the_schemas_of_kubernetes() {
    let wrong = MANIFEST.replace("terminationGracePeriodSeconds", "terminationGracePeriod");
    let (manifest, wrong) =
        (Scratch::new("manifest.yaml", MANIFEST.as_bytes()), Scratch::new("wrong.yaml", wrong.as_bytes()));
    for version in KUBERNETES {
        let validate = |file: &Scratch| {
            judged("PULSEWIRE_KUBERNETES_VALIDATE", &["--strict", "-k", version, file.path()])
        };
        let (good, said) = validate(&manifest);
        assert!(good, "{said}");
        assert_eq!(said.matches(" passed for resource ").count(), documents().len(), "{said}");
        assert!(!validate(&wrong).0, "it finds nothing");
    }
}

#[test]
#[ignore = "run by the suite gateway deploy, which has that program"]
fn the_container_file_has_nothing_to_complain_of() {
    let lint =
        |text: &str| judged("PULSEWIRE_HADOLINT", &[Scratch::new("Containerfile", text.as_bytes()).path()]);
    let (good, said) = lint(CONTAINERFILE);
    assert!(good && said.is_empty(), "{said}");
    assert!(!lint(&CONTAINERFILE.replace("EXPOSE", "EXPOSES")).0, "it finds nothing");
}
