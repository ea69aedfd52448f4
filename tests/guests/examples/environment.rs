//! Prints and answers with all that it is told about where it runs: variables, arguments, working directory.

use std::collections::BTreeMap;

use gristmill_test_guests::{Answer, handler};
use wasip2::cli::environment::{get_arguments, get_environment, initial_cwd};

fn tell(_event: String) -> Answer {
    let variables: BTreeMap<String, String> = get_environment().into_iter().collect();
    let told = serde_json::json!({
        "variables": variables,
        "arguments": get_arguments(),
        "directory": initial_cwd(),
    });
    println!("{told}");
    Ok(Some(told.to_string()))
}

handler!(tell);
