//! A loaded function: its linked handler and what it is given.
//!
//! ```text
//! invoke   place → idle instance, or a new one → fuel → call ─┬─ success, err ──────▶ idle
//!                                                             └─ trap, limit, drop ─▶ dropped
//! ```
//!
//! An instance serves one call at a time, and no call after one that did not end by itself: such
//! an instance stands still in the middle of something.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gristmill_invocation::{Function, Invocation, Outcome, Report};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use wasmtime::Store;

use crate::call::{self, About, Callee};
use crate::code::Code;
use crate::engine::Engine;
use crate::entry::{self, Entry, Linked};
use crate::error::{LoadError, Refusal};
use crate::lines::Lines;
use crate::outcome;
use crate::output::Response;
use crate::places::{FunctionId, Place};
use crate::refusals::Refusals;
use crate::settings::FunctionSettings;
use crate::state::{self, State, Streams, Template, new_store};

/// The longest that a running handler goes on without letting others on its thread go first, in
/// ticks of the engine's epoch: one to two milliseconds.
const TICKS_PER_YIELD: u64 = 2;

/// A handler with what it is given, ready to be called.
pub struct LoadedFunction {
    id: FunctionId,
    name: Arc<str>,
    engine: Engine,
    entry: Entry,
    lines: Option<Lines>,
    settings: FunctionSettings,
    variables: Vec<(String, String)>,
    refusals: Arc<Refusals>,
}

/// An instance between two calls. The order of the fields is that of their drop: the place is free
/// once the instance is gone.
pub(crate) struct Warm {
    store: Store<State>,
    callee: Callee,
    invocations: u32,
    place: Place,
}

/// What a call runs on.
struct Running {
    store: Store<State>,
    /// `None` for a new instance.
    callee: Option<Callee>,
    /// The response of a command.
    response: Option<Response>,
    invocations: u32,
    place: Place,
}

impl LoadedFunction {
    /// Links a handler, and checks that it can run with what it is given.
    ///
    /// # Errors
    ///
    /// If the limits are out of range, the handler exports nothing that can be called or several
    /// such things, imports what is not there, is larger than it may be, or is granted a directory
    /// that cannot be opened. The [`Refusal`] says which, and what to change.
    pub fn load(
        engine: &Engine,
        code: &Code,
        settings: FunctionSettings,
    ) -> Result<LoadedFunction, LoadError> {
        let function = settings.name.clone();
        LoadedFunction::prepare(engine, code, settings)
            .map_err(|refusal| LoadError { function, refusal })
    }

    fn prepare(
        engine: &Engine,
        code: &Code,
        settings: FunctionSettings,
    ) -> Result<LoadedFunction, Refusal> {
        settings.limits.validate()?;
        let entry = entry::link(engine, code)?;
        entry::check_memory(engine, code, &settings.limits)?;
        let function = LoadedFunction {
            id: engine.places().new_id(),
            name: settings.name.as_str().into(),
            engine: engine.clone(),
            entry,
            lines: code.lines.clone(),
            variables: settings.variables(),
            refusals: Arc::new(Refusals::new(&settings.name)),
            settings,
        };
        // Shows whether the granted directories are there.
        function.new_store(None)?;
        Ok(function)
    }

    fn new_store(&self, streams: Option<Streams>) -> Result<Store<State>, state::DirError> {
        let template = Template {
            engine: &self.engine,
            settings: &self.settings,
            name: &self.name,
            variables: &self.variables,
            refusals: &self.refusals,
        };
        let mut store = new_store(&template, streams)?;
        store.epoch_deadline_async_yield_and_update(TICKS_PER_YIELD);
        Ok(store)
    }

    /// Waits for the call's turn: the function's own bound first, so that what it cannot use is left
    /// to others.
    async fn turn(&self) -> Option<(Option<OwnedSemaphorePermit>, Result<Warm, Place>)> {
        let turn = match &self.settings.concurrency {
            Some(concurrency) => Some(Arc::clone(concurrency).acquire_owned().await.ok()?),
            None => None,
        };
        if let Some(warm) = self.engine.places().take_idle(self.id) {
            return Some((turn, Ok(warm)));
        }
        let place = self.engine.places().acquire(self.entry.places).await?;
        Some((turn, Err(place)))
    }

    fn running(&self, begun: Result<Warm, Place>, event: &str) -> Result<Running, Outcome> {
        let place = match begun {
            Ok(Warm { store, callee, invocations, place }) => {
                let callee = Some(callee);
                return Ok(Running { store, callee, response: None, invocations, place });
            }
            Err(place) => place,
        };
        let is_command = matches!(self.entry.linked, Linked::Command(..) | Linked::Module(_));
        let response = is_command.then(Response::default);
        let streams =
            response.clone().map(|response| Streams { event: call::stdin(event), response });
        let store = self.new_store(streams).map_err(|error| outcome::of_dir(&error))?;
        Ok(Running { store, callee: None, response, invocations: 0, place })
    }

    /// Runs one call to its end. Says how it ended, and what to call next time.
    async fn call(
        &self,
        running: &mut Running,
        invocation: &Invocation<'_>,
    ) -> wasmtime::Result<(Outcome, Option<Callee>)> {
        let store = &mut running.store;
        store.set_fuel(self.settings.limits.fuel())?;
        store.set_epoch_deadline(TICKS_PER_YIELD);
        let callee = match running.callee.take() {
            Some(callee) => callee,
            None => {
                match call::start(&self.entry.linked, store, running.response.as_ref()).await? {
                    Ok(callee) => callee,
                    Err(outcome) => return Ok((outcome, None)),
                }
            }
        };
        let outcome = call::call(&callee, store, invocation, &self.about()).await?;
        Ok((outcome, Some(callee)))
    }

    fn about(&self) -> About<'_> {
        let limits = &self.settings.limits;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let memory_mib = limits.memory_max_bytes.div_ceil(1024 * 1024);
        About {
            function: &self.name,
            memory_mib: u32::try_from(memory_mib).unwrap_or(u32::MAX),
            deadline_ms: u64::try_from((now + limits.timeout).as_millis()).unwrap_or(u64::MAX),
        }
    }

    async fn invoke_in_turn(
        &self,
        invocation: Invocation<'_>,
        begun: Result<Warm, Place>,
    ) -> (Report, Option<Warm>) {
        let limits = &self.settings.limits;
        let started = Instant::now();
        let mut report = Report::not_started();
        report.cold = begun.is_err();
        let mut running = match self.running(begun, invocation.event) {
            Ok(running) => running,
            Err(outcome) => return (Report { outcome, ..report }, None),
        };
        let state = running.store.data_mut();
        state.memory.start_call();
        state.network.start_call();
        let output = running.store.data().output.open(invocation.request_id);
        let ended = {
            let _running = self.engine.ticker().run();
            timeout(limits.timeout, self.call(&mut running, &invocation)).await
        };
        drop(output);

        let state = running.store.data();
        let is_over = running.response.as_ref().is_some_and(Response::is_too_large);
        let (outcome, callee) = match ended {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) if is_over => (Outcome::ResponseTooLarge, None),
            Ok(Err(error)) => {
                let refused = state.memory.refused();
                (outcome::of_error(&error, refused, self.lines.as_ref()), None)
            }
            Err(_elapsed) => (Outcome::TimedOut, None),
        };
        report.outcome = outcome;
        report.duration = started.elapsed();
        report.memory_bytes = state.memory.bytes();
        // Fuel is on in every store of the engine, so this cannot fail.
        report.fuel = limits.fuel().saturating_sub(running.store.get_fuel().unwrap_or(0));
        let Running { store, invocations, place, .. } = running;
        let invocations = invocations + 1;
        let is_kept = limits.instance_reuse
            && limits.instance_max_invocations.is_none_or(|most| invocations < most.get());
        let warm = callee.filter(|_| is_kept);
        (report, warm.map(|callee| Warm { store, callee, invocations, place }))
    }
}

impl Function for LoadedFunction {
    fn name(&self) -> &str {
        &self.name
    }

    async fn invoke(&self, invocation: Invocation<'_>) -> Report {
        let came = Instant::now();
        let Ok(Some((turn, begun))) = timeout(invocation.wait_max, self.turn()).await else {
            return Report { waited: came.elapsed(), ..Report::not_started() };
        };
        let waited = came.elapsed();
        let (report, warm) = self.invoke_in_turn(invocation, begun).await;
        if let Some(warm) = warm {
            self.engine.places().keep_idle(self.id, warm);
        }
        drop(turn);
        Report { waited, ..report }
    }
}

impl Drop for LoadedFunction {
    fn drop(&mut self) {
        self.engine.places().forget(self.id);
    }
}

impl fmt::Debug for LoadedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedFunction")
            .field("settings", &self.settings)
            .field("export", &self.entry.path)
            .finish_non_exhaustive()
    }
}
