//! What a function is given: its limits, its grants, its environment.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::grants::Grants;
use crate::limits::Limits;

/// The environment variables that the host sets, and nobody else: those of AWS Lambda that have a
/// meaning here ("Defined runtime environment variables").
pub const RESERVED_VARIABLES: [&str; 9] = [
    "_HANDLER",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_REGION",
];

/// What a function is given. The default is the default limits and nothing else.
#[derive(Clone, Default)]
pub struct FunctionSettings {
    /// Its name in the configuration and in the log.
    pub name: String,
    /// What one call may use.
    pub limits: Limits,
    /// What it may reach beside clocks, random numbers and its output.
    pub grants: Grants,
    /// Environment variables, beside those in [`RESERVED_VARIABLES`]. Values may be secrets.
    pub environment: Vec<(String, String)>,
    /// What `AWS_REGION` says; empty for a region that does not matter.
    pub region: String,
    /// The most calls at once, over everything that shares the semaphore; `None`: as many as the
    /// engine has places. Handed on to what replaces the function, so that the bound holds while the
    /// old one ends.
    pub concurrency: Option<Arc<Semaphore>>,
}

impl FunctionSettings {
    /// All environment variables of an instance.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let memory_mib = self.limits.memory_max_bytes.div_ceil(1024 * 1024).to_string();
        let region = if self.region.is_empty() { "us-east-1" } else { &self.region };
        let lambda = [
            ("_HANDLER", "handle-batch"),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory_mib),
            ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "[$LATEST]"),
            ("AWS_REGION", region),
        ];
        let lambda = lambda.map(|(name, value)| (name.to_owned(), value.to_owned()));
        lambda.into_iter().chain(self.environment.iter().cloned()).collect()
    }
}

impl fmt::Debug for FunctionSettings {
    /// Leaves the values of the environment out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("FunctionSettings")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .field("grants", &self.grants)
            .field("environment", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_lambda_are_there_and_are_the_reserved_ones() {
        let settings = FunctionSettings {
            name: "orders".to_owned(),
            environment: vec![("TABLE".to_owned(), "t".to_owned())],
            ..FunctionSettings::default()
        };
        let variables = settings.variables();
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..9], RESERVED_VARIABLES);
        assert!(variables.contains(&("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".into(), "128".into())));
        assert_eq!(variables.last(), Some(&("TABLE".into(), "t".into())));
    }

    #[test]
    fn values_of_the_environment_are_never_shown() {
        let environment = vec![("TOKEN".to_owned(), "s3cret".to_owned())];
        let settings = FunctionSettings { environment, ..FunctionSettings::default() };
        let text = format!("{settings:?}");
        assert!(text.contains("TOKEN") && !text.contains("s3cret"), "{text}");
    }
}
