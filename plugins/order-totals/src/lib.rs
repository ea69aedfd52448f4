//! A Gristmill handler that sums the orders of a batch.
//!
//! This file is the handler's edge: the function that the host calls, one line of log, the answer.
//! What it works out is in [`totals`], which knows nothing of WebAssembly.
//! A batch is either summed whole or fails whole: no order may be left out in silence.

mod totals;

// Reads `wit/handler.wit` and makes the trait `Guest` and the macro `export!` from it.
wit_bindgen::generate!({ world: "handler" });

struct OrderTotals;

impl Guest for OrderTotals {
    fn handle_batch(event: String) -> Result<Option<String>, String> {
        let totals = totals::sum(&event)?;
        println!("{totals}");
        Ok(Some(totals.to_json()))
    }
}

export!(OrderTotals);
