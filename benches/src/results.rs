//! RESULTS.md: each measurement has a section of its own, between two lines.

use std::process::Command;

/// Puts `text` in the place of the section, or at the end when there is none yet.
pub(crate) fn write(section: &str, text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");
    let file = std::fs::read_to_string(path).expect("RESULTS.md");
    let (begin, end) = (format!("<!-- {section} -->"), format!("<!-- /{section} -->"));
    let text = format!("{begin}\n{}\n{end}", text.trim_end());
    let cut = file.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let file = match cut {
        Some((before, after)) => format!("{before}{text}{after}"),
        None => format!("{}\n\n{text}\n", file.trim_end()),
    };
    std::fs::write(path, file).expect("RESULTS.md");
}

/// The machine, for the record.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", processor(), first_line("rustc", &["--version"]))
}

pub(crate) fn date() -> String {
    first_line("date", &["-u", "+%Y-%m-%d"])
}

/// What a command prints first.
fn first_line(command: &str, arguments: &[&str]) -> String {
    let out = Command::new(command).args(arguments).output().ok();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or("unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}
