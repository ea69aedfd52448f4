//! Projects as they are written: names, next steps, and what Rust's needs to stand alone.

use super::*;

const ALL: [Language; 5] =
    [Language::Rust, Language::Js, Language::Python, Language::C, Language::Go];

fn text<'a>(project: &'a [(String, String)], path: &str) -> &'a str {
    &project.iter().find(|(other, _)| other == path).unwrap().1
}

#[test]
fn a_project_has_its_own_name_everywhere() {
    for lang in ALL {
        for (path, text) in project("late-orders", lang).unwrap() {
            assert!(!path.contains("order-totals"), "{path}");
            let is_left = text.contains("order-totals") || text.contains("order_totals");
            assert!(!is_left, "{path} of {lang:?}:\n{text}");
        }
    }
}

#[test]
fn the_next_steps_are_what_the_readme_says() {
    for lang in ALL {
        let project = project("late-orders", lang).unwrap();
        let readme = text(&project, "README.md");
        let template = lang.template();
        for line in template.build.iter().chain([&template.built]) {
            let line = template.renamed(line, "late-orders");
            assert!(readme.contains(&line), "{line} is not in the README for {lang:?}");
            assert!(next_steps("late-orders", lang).contains(&line), "{lang:?}");
        }
    }
}

#[test]
fn a_project_in_rust_needs_nothing_from_outside() {
    let project = project("zebra", Language::Rust).unwrap();
    for (path, text) in &project {
        assert!(!text.contains("../../"), "{path}");
    }
    let manifest = text(&project, "gristmill-handler/Cargo.toml");
    assert!(manifest.starts_with("[package]\n") && !manifest.contains("workspace"), "{manifest}");
    let names: Vec<_> = text(&project, "Cargo.lock")
        .lines()
        .filter_map(|line| line.strip_prefix("name = "))
        .collect();
    assert!(names.is_sorted() && names.contains(&"\"zebra\""), "{names:?}");
}

#[test]
fn the_lock_file_keeps_its_form() {
    let lock = text_of(files::RUST, "Cargo.lock").unwrap();
    assert_eq!(sorted(lock), lock);
}

#[test]
fn a_name_fits_function_and_language() {
    for lang in ALL {
        for good in ["orders", "late-orders_2", "order-totals", "a"] {
            check(good, lang).unwrap();
        }
        let long = "x".repeat(65);
        for bad in ["", "a b", "../x", "größe", "a/b", "a.b", "-x", "a\nb", long.as_str()] {
            assert!(check(bad, lang).is_err(), "{bad} in {lang:?}");
        }
    }
    for (lang, bad) in [
        (Language::Rust, "1st"),
        (Language::Rust, "fn"),
        (Language::Rust, "test"),
        (Language::Rust, "__"),
        (Language::Rust, "serde_json"),
        (Language::Rust, "gristmill-handler"),
        (Language::Js, "Orders"),
        (Language::Js, "_x"),
    ] {
        assert!(check(bad, lang).is_err(), "{bad} in {lang:?}");
    }
    check("1st", Language::Go).unwrap();
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("src/a.txt".to_owned(), "new".to_owned())];
    write(folder.path(), &files).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("src/a.txt")).unwrap(), "new");
    let error = write(folder.path(), &files).unwrap_err();
    assert!(error.to_string().ends_with("exists and is not empty; choose another name"), "{error}");
    let error = write(&folder.path().join("src/a.txt"), &files).unwrap_err();
    assert!(error.to_string().starts_with("cannot write into "), "{error}");
}
