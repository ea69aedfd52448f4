//! Handlers built from source, for tests.
