//! A loaded function: its compiled handler, its limits and its idle instances.
//!
//! ```text
//! invoke   idle instance, or a new one → fuel → call ─┬─ success, err ──────▶ idle
//!                                                     └─ trap, timeout ─────▶ dropped
//! ```
//!
//! An instance serves one call at a time, and no call after one that did not end by itself: such
//! an instance stands still in the middle of something.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_invocation::{Function, Invocation, Outcome, Report};
use tokio::time::{Instant, timeout};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, InstancePre};

use crate::engine::{Engine, FUEL_PER_YIELD};
use crate::error::{LoadError, Refusal};
use crate::limits::Limits;
use crate::load;
use crate::outcome;
use crate::store::{State, new_store};

/// The most idle instances that a function keeps. More calls than these may run at once; what
/// they leave is dropped. In the worst case idle instances hold this often the memory limit.
pub const IDLE_INSTANCES_MAX: usize = 16;

/// What a handler answers.
type Answer = Result<Option<String>, String>;

/// A handler, compiled and checked, under its limits.
pub struct LoadedFunction {
    name: Arc<str>,
    engine: Engine,
    handler: InstancePre<State>,
    handle_batch: ComponentExportIndex,
    limits: Limits,
    /// The last used is on top, so that a burst's further instances rest below. Locked to put or
    /// take one, never during a call.
    idle: Mutex<Vec<Warm>>,
}

/// An instance between two calls. Dropping it frees its memory.
struct Warm {
    store: Store<State>,
    handle_batch: Func,
}

impl LoadedFunction {
    /// Compiles a handler and checks that it can run under its limits.
    ///
    /// `name` is the function's name in the configuration and in the log. Compiling takes from a
    /// tenth of a second to several, on all cores, and blocks the thread: call it where blocking
    /// is allowed, such as in `spawn_blocking`. It cannot be interrupted.
    ///
    /// # Errors
    ///
    /// If the limits are out of range, the file is no component, exports no `handle-batch` of the
    /// right type or several, imports what is not given, or starts with more memory than it may
    /// have. The [`Refusal`] says which, and what to change.
    pub fn load(
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<LoadedFunction, LoadError> {
        LoadedFunction::prepare(engine, name, bytes, limits)
            .map_err(|refusal| LoadError { function: name.to_owned(), refusal })
    }

    fn prepare(
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<LoadedFunction, Refusal> {
        limits.validate()?;
        let component = load::compile(engine, bytes)?;
        let handle_batch = load::find_handle_batch(engine, &component)?.index;
        let handler = load::link(engine, &component)?;
        load::check_memory(&component, &limits)?;
        // Otherwise the first call would pay for it.
        component.initialize_copy_on_write_image().map_err(|e| Refusal::Invalid(e.into()))?;
        Ok(LoadedFunction {
            name: name.into(),
            engine: engine.clone(),
            handler,
            handle_batch,
            limits,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Runs one call to its end, on a warm instance if `handle_batch` is one's export. Says what
    /// the handler answered, and what to call next time.
    async fn call(
        &self,
        store: &mut Store<State>,
        handle_batch: Option<Func>,
        event: &str,
    ) -> wasmtime::Result<(Answer, Func)> {
        store.fuel_async_yield_interval(Some(FUEL_PER_YIELD))?;
        store.set_fuel(self.limits.fuel())?;
        let handle_batch = match handle_batch {
            Some(handle_batch) => handle_batch,
            None => self.instantiate(store).await?,
        };
        // The type carries the event's lifetime, so it cannot be kept with the instance.
        let typed = handle_batch.typed::<(&str,), (Answer,)>(&*store)?;
        let (answer,) = typed.call_async(&mut *store, (event,)).await?;
        Ok((answer, handle_batch))
    }

    /// Makes an instance, which runs the handler's own initialization.
    async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Func> {
        let instance = self.handler.instantiate_async(&mut *store).await?;
        instance
            .get_func(&mut *store, self.handle_batch)
            .ok_or_else(|| wasmtime::Error::msg("the instance lacks the export it was checked for"))
    }

    fn take_idle(&self) -> Option<Warm> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep_idle(&self, warm: Warm) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_INSTANCES_MAX {
            idle.push(warm);
        }
    }
}

impl Function for LoadedFunction {
    fn name(&self) -> &str {
        &self.name
    }

    async fn invoke(&self, invocation: Invocation<'_>) -> Report {
        let started = Instant::now();
        let (mut store, handle_batch) = match self.take_idle() {
            Some(Warm { store, handle_batch }) => (store, Some(handle_batch)),
            None => (new_store(&self.engine, self.name.clone(), &self.limits), None),
        };
        store.data_mut().memory.start_call();
        let output = store.data().output.open(invocation.request_id);

        let call = self.call(&mut store, handle_batch, invocation.event);
        let ended = timeout(self.limits.timeout, call).await;
        drop(output);

        let (outcome, alive) = match ended {
            Ok(Ok((answer, handle_batch))) => (outcome::of_answer(answer), Some(handle_batch)),
            Ok(Err(error)) => (outcome::of_error(&error, store.data().memory.refused()), None),
            Err(_elapsed) => (Outcome::TimedOut, None),
        };
        let report = Report {
            outcome,
            duration: started.elapsed(),
            // Fuel is on in every store of the engine, so this cannot fail.
            fuel: self.limits.fuel().saturating_sub(store.get_fuel().unwrap_or(0)),
            memory_bytes: store.data().memory.bytes(),
        };
        if let Some(handle_batch) = alive.filter(|_| self.limits.instance_reuse) {
            self.keep_idle(Warm { store, handle_batch });
        }
        report
    }
}

impl fmt::Debug for LoadedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedFunction")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
