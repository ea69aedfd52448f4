//! The rules themselves: pure functions from paths and texts to problems, a sentence each.
//!
//! Reading files and asking git is the caller's part, so that each rule is shown failing below.

use std::collections::BTreeSet;

/// A Rust file by its path from the root.
pub(super) struct SourceFile<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
}

const LINES_MAX: usize = 500;

/// Words that nothing in the repository says, and what to do instead.
const NEVER: &[(&str, &str)] = &[
    ("todo!", "write it or leave it out"),
    ("#[ignore", "a test that does not run protects nothing; run it or delete it"),
    ("thread::sleep", "wait for what is awaited"),
];

/// Words that library crates do not say outside of their tests.
const NEVER_IN_LIBRARIES: &[(&str, &str)] = &[
    ("Instant::now", "take the time as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    ("env::var", "take the setting as an argument"),
];

const LIBRARIES: &[&str] = &[
    "activemq",
    "activemq-openwire",
    "broker",
    "control",
    "event",
    "gristmill",
    "handler",
    "invocation",
    "mapping",
    "rabbitmq",
    "sandbox",
    "store",
];

/// Exceptions: the beginning of a path, a word it may say, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("crates/xtask/src/tidy/rules.rs", "", "this table has to name what it forbids"),
    (
        "crates/mapping/src/driver.rs",
        "Instant::now",
        "reads the clock for what is pure, once a turn",
    ),
    (
        "crates/mapping/src/driver.rs",
        "SystemTime::now",
        "reads the calendar for the ages of messages, once a burst",
    ),
    ("crates/mapping/src/supervisor.rs", "Instant::now", "how long a subscription held"),
    (
        "crates/activemq-openwire/src/client",
        "Instant::now",
        "the client is where the clock comes to the connection",
    ),
    ("crates/broker/src/fake.rs", "Instant::now", "stands for a broker, which has a clock"),
    ("crates/mapping/src/lanes.rs", "Instant::now", "measures how long an invocation computes"),
    ("crates/sandbox/src/function.rs", "Instant::now", "measures the durations it reports"),
    ("crates/sandbox/src/function.rs", "SystemTime::now", "tells a handler its deadline"),
    ("crates/gristmill/src/cache.rs", "SystemTime::now", "marks what was used last"),
    (
        "crates/store/src/embedded/worker.rs",
        "SystemTime::now",
        "stands for a broker, which knows when messages came and expire",
    ),
    ("tests/guests/", "thread::sleep", "a guest that sleeps is what the sandbox has to end"),
];

/// Checks one Rust file.
pub(super) fn source(file: &SourceFile<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        problems.push(format!(
            "{} has {lines} lines, more than {LINES_MAX}; give a part of it a file of its own",
            file.path
        ));
    }
    if !file.text.starts_with("//!") {
        problems.push(format!(
            "{} does not begin with a module doc (//!) that says what it is",
            file.path
        ));
    }
    problems.extend(words(file, NEVER, file.text.lines().count()));
    if is_library_code(file.path) {
        problems.extend(words(file, NEVER_IN_LIBRARIES, lines_before_tests(file.text)));
    }
    problems
}

/// Looks for forbidden words in the first `count` lines, not counting comments.
fn words(file: &SourceFile<'_>, forbidden: &[(&str, &str)], count: usize) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().take(count).enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (word, instead) in forbidden {
            if code.contains(word) && !is_allowed(file.path, word) {
                problems.push(format!("{}:{}: {word}: {instead}", file.path, number + 1));
            }
        }
    }
    problems
}

fn is_allowed(path: &str, word: &str) -> bool {
    ALLOWED.iter().any(|(start, allowed, _)| path.starts_with(start) && word.contains(allowed))
}

fn is_library_code(path: &str) -> bool {
    let is_library = LIBRARIES.iter().any(|name| {
        path.strip_prefix("crates/")
            .and_then(|path| path.strip_prefix(name))
            .is_some_and(|path| path.starts_with("/src/"))
    });
    is_library && !path.ends_with("/tests.rs") && !path.contains("/tests/")
}

/// Tests stand at the end of a file, in a module of their own.
fn lines_before_tests(text: &str) -> usize {
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let next = lines.peek().map_or("", |(_, line)| line);
        if line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            return number;
        }
    }
    text.lines().count()
}

/// Checks that the pages in `docs/decisions` are numbered 0001, 0002 and so on.
pub(super) fn decisions(paths: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut numbers = BTreeSet::new();
    let pages = paths.iter().filter_map(|path| path.strip_prefix("docs/decisions/"));
    for page in pages.filter(|page| page.ends_with(".md") && *page != "README.md") {
        match page.split_once('-').map(|(digits, _)| (digits.len(), digits.parse::<usize>())) {
            Some((4, Ok(number))) if numbers.insert(number) => {}
            Some((4, Ok(_))) => {
                problems.push(format!("docs/decisions/{page}: a number given twice"))
            }
            _ => problems.push(format!("docs/decisions/{page}: name it NNNN-title.md")),
        }
    }
    for (expected, number) in (1..).zip(&numbers) {
        if expected != *number {
            problems.push(format!("docs/decisions has no page {expected:04}, but {number:04}"));
            break;
        }
    }
    problems
}

/// Checks that a change of the handler contract comes with its readme.
pub(super) fn contract(changed: &[String]) -> Option<String> {
    let is_contract = |path: &&String| path.starts_with("wit/") && path.ends_with(".wit");
    let contract = changed.iter().find(is_contract)?;
    let has_readme = changed.iter().any(|path| path == "wit/README.md");
    (!has_readme).then(|| format!("{contract} has changed; say so in wit/README.md as well"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        source(&SourceFile { path, text })
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_file_is_at_most_500_lines_long() {
        let text = |lines: usize| format!("//! Long.\n{}", "\n".repeat(lines - 1));
        assert!(problems("crates/cli/src/a.rs", &text(500)).is_empty());
        assert_eq!(problems("crates/cli/src/a.rs", &text(501)).len(), 1);
    }

    #[test]
    fn a_file_begins_with_its_module_doc() {
        assert_eq!(problems("crates/cli/src/a.rs", "use std::fs;\n").len(), 1);
        assert_eq!(problems("crates/cli/src/a.rs", "").len(), 1);
    }

    #[test]
    fn unfinished_skipped_and_sleeping_code_is_found_everywhere() {
        for line in ["todo!()", "#[ignore = \"slow\"]", "std::thread::sleep(second);"] {
            let text = format!("//! Doc.\n#[cfg(test)]\nmod tests {{\n    {line}\n}}\n");
            let found = problems("tests/whole.rs", &text);
            assert_eq!(found.len(), 1, "{line}");
            assert!(found[0].starts_with("tests/whole.rs:4: "), "{found:?}");
        }
    }

    #[test]
    fn libraries_read_no_clock_and_no_environment() {
        for line in ["Instant::now()", "std::time::SystemTime::now()", "env::var_os(\"HOME\")"] {
            let text = format!("//! Doc.\nlet x = {line};\n");
            assert_eq!(problems("crates/mapping/src/retry.rs", &text).len(), 1, "{line}");
            assert!(problems("crates/cli/src/main.rs", &text).is_empty());
            assert!(problems("crates/mapping/src/retry/tests.rs", &text).is_empty());
            assert!(problems("crates/mapping/tests/retry.rs", &text).is_empty());
        }
    }

    #[test]
    fn comments_and_tests_of_libraries_may_name_the_clock() {
        let text = "//! Doc.\n// Instant::now\n#[cfg(test)]\nmod tests {\n Instant::now()\n}\n";
        assert!(problems("crates/event/src/lib.rs", text).is_empty());
        let outside = "//! Doc.\n#[cfg(test)]\nmod tests;\nfn f() { Instant::now() }\n";
        assert_eq!(problems("crates/event/src/lib.rs", outside).len(), 1);
    }

    #[test]
    fn exceptions_hold_for_their_path_and_word_only() {
        let text = "//! Doc.\nthread::sleep(hour); todo!()\n";
        let found = problems("tests/guests/examples/sleeps.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("todo!"));
    }

    #[test]
    fn decision_pages_are_numbered_without_gaps() {
        let good = paths(&["docs/decisions/0002-b.md", "docs/decisions/0001-a.md", "docs/x.md"]);
        assert!(decisions(&good).is_empty());
        assert!(decisions(&[]).is_empty());
        for wrong in [
            paths(&["docs/decisions/0002-b.md"]),
            paths(&["docs/decisions/0001-a.md", "docs/decisions/0003-c.md"]),
            paths(&["docs/decisions/0001-a.md", "docs/decisions/0001-b.md"]),
            paths(&["docs/decisions/1-a.md"]),
            paths(&["docs/decisions/title.md"]),
        ] {
            assert_eq!(decisions(&wrong).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn the_contract_changes_with_its_readme() {
        assert!(contract(&paths(&["wit/handler.wit"])).is_some());
        assert!(contract(&paths(&["wit/handler.wit", "wit/README.md"])).is_none());
        assert!(contract(&paths(&["wit/README.md", "crates/a.rs"])).is_none());
    }
}
