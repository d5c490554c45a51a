//! The parts of RESULTS.md: each bench writes its own.

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// Puts a part in place of the one of that name, or at the end.
pub(crate) fn put(name: &str, text: &str) {
    let file = std::fs::read_to_string(PATH).unwrap_or_default();
    let heading = format!("# {name}\n");
    let mut parts: Vec<String> = Vec::new();
    for line in file.split_inclusive('\n') {
        match parts.last_mut() {
            Some(part) if !line.starts_with("# ") => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    let part = format!("{heading}\n{}\n", text.trim_end());
    match parts.iter_mut().find(|part| part.starts_with(&heading)) {
        Some(known) => *known = part,
        None => parts.push(part),
    }
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    std::fs::write(PATH, format!("{}\n", parts.join("\n\n"))).expect("RESULTS.md");
}
