//! `cargo xtask tidy`: house rules that neither the compiler nor clippy knows.
//!
//! Files stay small and say what they are; library crates are given the time and their settings;
//! the handler contract does not change without its readme; decision pages have no gaps.
//! Everything that git tracks or would track is looked at, nothing that it ignores.

mod rules;

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::workspace;
use rules::SourceFile;

pub(crate) fn run() -> Result<()> {
    let paths = git_lines(&["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut problems = Vec::new();
    let ours = |path: &&String| path.ends_with(".rs") && !path.starts_with("third-party/");
    for path in paths.iter().filter(ours) {
        // A file that is deleted and not yet committed is still listed.
        let file = workspace::root().join(path);
        if file.exists() {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
            problems.extend(rules::source(&SourceFile { path, text: &text }));
        }
    }
    problems.extend(rules::decisions(&paths));
    for changed in changes()? {
        problems.extend(rules::contract(&changed));
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// The paths changed since the last commit, and those changed by it: before a commit the first is
/// what matters, in CI the second.
fn changes() -> Result<Vec<Vec<String>>> {
    // A fresh repository has no commit, and one of a single commit nothing to compare it with.
    let has = |revision: &str| git_lines(&["rev-parse", "--verify", "--quiet", revision]).is_ok();
    let mut changes = Vec::new();
    if has("HEAD") {
        let mut paths = git_lines(&["diff", "--name-only", "HEAD"])?;
        paths.extend(git_lines(&["ls-files", "--others", "--exclude-standard"])?);
        changes.push(paths);
    }
    if has("HEAD~1") {
        changes.push(git_lines(&["diff", "--name-only", "HEAD~1", "HEAD"])?);
    }
    Ok(changes)
}

fn git_lines(arguments: &[&str]) -> Result<Vec<String>> {
    let mut git = std::process::Command::new("git");
    // Without this, git writes a path with other than ASCII letters in quotes.
    git.args(["-c", "core.quotePath=false"]).args(arguments).current_dir(workspace::root());
    Ok(workspace::output_of(&mut git)?.lines().map(str::to_owned).collect())
}
