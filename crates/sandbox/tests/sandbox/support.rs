//! What the tests share: one engine, guests by name, events, and captured log lines.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use gristmill_invocation::{Function, Invocation, Outcome, Report, Uuid};
use gristmill_sandbox::{
    Code, Engine, EngineSettings, FunctionSettings, Limits, LoadError, LoadedFunction,
};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// An event with one record, whose body is `{}`.
pub(crate) const ONE_RECORD: &str = r#"{"eventSource":"aws:rmq","rmqMessagesByQueue":{"orders::/":[{"basicProperties":{},"redelivered":false,"data":"e30="}]}}"#;

/// The engine of all tests; whoever makes another one makes this one first.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Collector))
        .unwrap();
    Engine::new(EngineSettings::default()).unwrap()
});

/// The content of a built guest.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    std::fs::read(gristmill_testkit::guests::component(name)).unwrap()
}

/// A component whose `handle-batch` is the function `handle` of a core module with these fields,
/// and with `pages` of memory. Events lie at 1024, answers may lie below.
pub(crate) fn component_of(pages: u32, fields: &str) -> Vec<u8> {
    component_with(
        "",
        &format!(
            r#"(memory (export "memory") {pages})
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
               {fields}"#
        ),
    )
}

/// The same with imports of the component, and with a memory and a `realloc` of the module's own.
pub(crate) fn component_with(imports: &str, module: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            {imports}
            (core module $m {module})
            (core instance $i (instantiate $m))
            (func (export "handle-batch")
                (param "event" string) (result (result (option string) (error string)))
                (canon lift (core func $i "handle")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    ))
    .unwrap()
}

/// Loads a handler from its bytes.
pub(crate) fn load_bytes(
    bytes: &[u8],
    settings: FunctionSettings,
) -> Result<LoadedFunction, LoadError> {
    load_in(&ENGINE, bytes, settings)
}

/// The same in an engine of the test's own.
pub(crate) fn load_in(
    engine: &Engine,
    bytes: &[u8],
    settings: FunctionSettings,
) -> Result<LoadedFunction, LoadError> {
    let function = settings.name.clone();
    let code = Code::compile(engine, bytes);
    let code = code.map_err(|refusal| LoadError { function, refusal })?;
    LoadedFunction::load(engine, &code, settings)
}

/// Loads a built guest under its own name.
pub(crate) fn load(name: &str, limits: Limits) -> LoadedFunction {
    let settings = FunctionSettings { limits, ..FunctionSettings::default() };
    load_with(name, settings)
}

/// The same with more than limits.
pub(crate) fn load_with(name: &str, settings: FunctionSettings) -> LoadedFunction {
    let name = name.to_owned();
    load_bytes(&guest(&name), FunctionSettings { name, ..settings }).unwrap()
}

/// A function with a variable of its own.
pub(crate) fn with_variables() -> FunctionSettings {
    FunctionSettings {
        environment: vec![("TABLE".to_owned(), "größer".to_owned())],
        region: "eu-central-1".to_owned(),
        ..FunctionSettings::default()
    }
}

/// All variables that such a function sees, whatever kind of handler it is.
pub(crate) fn variables_of(function: &str) -> Value {
    json!({
        "_HANDLER": "handle-batch",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": format!("/aws/lambda/{function}"),
        "AWS_LAMBDA_LOG_STREAM_NAME": "[$LATEST]",
        "AWS_REGION": "eu-central-1",
        "TABLE": "größer",
    })
}

/// Calls a function once, on the thread of the test.
pub(crate) async fn call(function: &LoadedFunction, event: &str) -> Report {
    function.invoke(invocation(event)).await
}

/// What a call answered that succeeded with an answer.
pub(crate) async fn answer(function: &LoadedFunction, event: &str) -> String {
    let outcome = call(function, event).await.outcome;
    let Outcome::Succeeded(Some(answer)) = outcome else { panic!("{event}: {outcome:?}") };
    answer
}

/// An error with all its causes.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// A first call with an event, which may wait for long.
pub(crate) fn invocation(event: &str) -> Invocation<'_> {
    let wait_max = Duration::from_secs(600);
    Invocation { request_id: Uuid::new_v4(), event, attempt: 1, wait_max }
}

/// The fields of one log event; `target`, `level` and `message` among them.
pub(crate) type Fields = BTreeMap<String, String>;

thread_local! {
    static EVENTS: RefCell<Option<Vec<Fields>>> = const { RefCell::new(None) };
}

/// Collects what the sandbox logs on this thread for as long as it lives.
pub(crate) struct Captured(());

impl Captured {
    pub(crate) fn start() -> Captured {
        EVENTS.with_borrow_mut(|events| *events = Some(Vec::new()));
        Captured(())
    }

    /// What was logged since the last look.
    pub(crate) fn take(&self) -> Vec<Fields> {
        EVENTS.with_borrow_mut(|events| events.replace(Vec::new())).unwrap()
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        EVENTS.set(None);
    }
}

/// One collector for the whole process, in place before the sandbox can log anything: with one
/// per test, `tracing` may remember an event as wanted by nobody when another thread logs it for
/// the first time at the moment in which a test's own collector comes.
struct Collector;

impl<S: tracing::Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() != "gristmill::handler" {
            return;
        }
        let mut fields = Visitor(Fields::new());
        fields.0.insert("level".to_owned(), metadata.level().to_string());
        event.record(&mut fields);
        EVENTS.with_borrow_mut(|events| events.as_mut().map(|events| events.push(fields.0)));
    }
}

struct Visitor(Fields);

impl Visit for Visitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
